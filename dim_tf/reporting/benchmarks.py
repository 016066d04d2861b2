"""Tables of the comparison with foolbox, from its records."""

import json
import math
import pathlib
from collections.abc import Iterable
from typing import Any

from dim_tf.benchmarking.strength import weaker
from dim_tf.reporting.formats import Rows


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a file under `results/benchmark`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, or a folder.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name one of the files in it")
    try:
        records = json.loads(path.read_text())
        attacks_table(records)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no file of dim_tf.benchmark") from error
    return records


def read_all(folder: pathlib.Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of all files in a folder, by the model they are named after.

    Raises:
        ValueError: no such file in it, or as `read`.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise ValueError(f"{folder} has no .json file of dim_tf.benchmark")
    return {path.stem: read(path) for path in paths}


def attacks_table(records: Iterable[dict[str, Any]]) -> Rows:
    """One row per attack and batch size, below a header row.

    Args:
        records: rows of a file under `results/benchmark`.

    Returns:
        Rows of cells; accuracies and shares in percent.
    """
    header = (
        *("attack", "images", "foolbox s", "ours s", "compiling s", "ratio"),
        "model's share",
        *("foolbox robust", "ours robust"),
        *("foolbox median", "ours median"),
    )
    rows = [
        (
            f"`{record['attack']}`",
            str(record["batch_size"]),
            f"{record['foolbox_seconds']:.3g}",
            f"{record['native_seconds']:.3g}",
            f"{_compiling([record]):.3g}",
            f"{record['ratio']:.1f}",
            f"{record['model_share']:.0%}",
            f"{record['foolbox_robust_accuracy']:.1%}",
            f"{record['native_robust_accuracy']:.1%}",
            f"{record['foolbox_median_distance']:.4g}",
            f"{record['native_median_distance']:.4g}",
        )
        for record in records
    ]
    return [header, *rows]


def _compiling(records: Iterable[dict[str, Any]]) -> float:
    """Seconds by which first calls of ours took longer than the next ones."""
    return sum(max(0.0, each["native_compile_seconds"]) for each in records)


def summary(records: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    """How much faster ours are in all, a sentence per batch size.

    Returns:
        Pairs of `"note"` and a sentence, and of `"alarm"` and one for every
        attack in which ours is weaker.
    """
    by_size: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        by_size.setdefault(record["batch_size"], []).append(record)
    notes = []
    for size, members in sorted(by_size.items()):
        ratios = [member["ratio"] for member in members]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        stock = sum(member["foolbox_seconds"] for member in members)
        ours = sum(member["native_seconds"] for member in members)
        slowest = min(members, key=lambda member: member["ratio"])
        once = _compiling(members)
        notes.append(
            (
                "note",
                f"Together {stock / ours:.1f} times as fast as foolbox's, or "
                f"{stock / (ours + once):.1f} times with the {once:.3g} s in "
                f"which each of ours is compiled, once: {len(members)} "
                f"attacks on {size} images, {mean:.1f} times in "
                f"the geometric mean, {slowest['ratio']:.1f} times at least "
                f"({slowest['attack']}).",
            )
        )
        notes += [
            (
                "alarm",
                f"Weaker on {size} images: {member['attack']}, robust accuracy "
                f"{member['native_robust_accuracy']:.0%} beside "
                f"{member['foolbox_robust_accuracy']:.0%}, median distance "
                f"{member['native_median_distance']:.4g} beside "
                f"{member['foolbox_median_distance']:.4g}.",
            )
            for member in members
            if weaker(member)
        ]
    return notes
