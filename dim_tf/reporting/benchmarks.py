"""Tables of the comparison with foolbox, from its records."""

import math
from collections.abc import Iterable
from typing import Any

from dim_tf.reporting.cards import Rows


def attacks_table(records: Iterable[dict[str, Any]]) -> Rows:
    """One row per attack and batch size, below a header row.

    Args:
        records: rows of a file under `results/benchmark`.

    Returns:
        Rows of cells; accuracies and shares in percent.
    """
    header = (
        *("attack", "images", "foolbox s", "ours s", "ratio", "model's share"),
        *("foolbox robust", "ours robust"),
        *("foolbox median", "ours median"),
    )
    rows = [
        (
            f"`{record['attack']}`",
            str(record["batch_size"]),
            f"{record['foolbox_seconds']:.3g}",
            f"{record['native_seconds']:.3g}",
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


def summary_table(records: Iterable[dict[str, Any]]) -> Rows:
    """One row per batch size: how much faster ours are, in all."""
    header = ("images", "attacks", "geometric mean", "total", "slowest")
    by_size: dict[int, list[dict[str, Any]]] = {}
    for record in records:
        by_size.setdefault(record["batch_size"], []).append(record)
    rows = []
    for size, members in sorted(by_size.items()):
        ratios = [member["ratio"] for member in members]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        stock = sum(member["foolbox_seconds"] for member in members)
        ours = sum(member["native_seconds"] for member in members)
        slowest = min(members, key=lambda member: member["ratio"])
        rows.append(
            (
                str(size),
                str(len(members)),
                f"{mean:.1f}x",
                f"{stock / ours:.1f}x",
                f"`{slowest['attack']}` {slowest['ratio']:.1f}x",
            )
        )
    return [header, *rows]
