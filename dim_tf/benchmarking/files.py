"""The file of a benchmark, which its rows are added to one by one."""

import json
import pathlib
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import rich.progress

from dim_tf import staging
from dim_tf.benchmarking import attacks
from dim_tf.benchmarking import rivals
from dim_tf.benchmarking.prices import PassPrices

# Of rows that do not say it.
_UNSAID = {"dataset": "mnist", "score_factor": 1.0}


def fill(
    output: pathlib.Path,
    names: Iterable[str],
    subject: attacks.Subject,
    of: Mapping[str, Any],
    made_with: Mapping[str, Any],
    *,
    jit_compile: bool,
    seconds_limit: float,
) -> list[dict[str, Any]]:
    """Makes the rows that the output file lacks, and returns all of it.

    Args:
        output: JSON file.
        names: of attacks in the suite.
        subject: what is attacked.
        of: JSON-able, what must be the same of all rows, such as the
            `weights_digest`, the `dataset` and the `score_factor`.
        made_with: JSON-able, what rows are to tell of the machine.
        jit_compile, seconds_limit: as `attacks.compare`.

    Raises:
        ValueError: the file holds rows of something else, or of other
            hyper-parameters.
    """
    rows = _rows(output)
    of = {**of, "jit_compile": jit_compile}
    done = _done(output, rows, of, len(subject.examples))
    names = [name for name in names if name not in done]
    if not names:
        return rows
    prices = PassPrices(
        subject.classifier, subject.examples.images, jit_compile
    )
    for name in rich.progress.track(names, "comparing"):
        row = attacks.compare(
            name, subject, jit_compile=jit_compile, seconds_limit=seconds_limit
        )
        # At once, as machines are faster at one time than at another.
        forward, backward = prices.measure()
        floor = row["forwards"] * forward + row["backwards"] * backward
        row["model_share"] = floor / row["native_seconds"]
        rows = _add(output, {**row, **of, **made_with})
    return rows


def _done(output, rows, of, batch_size) -> set[str]:
    """Attacks that have been raced; raises ValueError where otherwise."""
    for name, here in of.items():
        for row in rows:
            there = row.get(name, _UNSAID.get(name, here))
            if there != here:
                raise ValueError(
                    f"{output} has rows of {name}={there}, not of {here}; name "
                    "another --output, or delete it to start anew"
                )
    done = {
        row["attack"]: row["settings"]
        for row in rows
        if row["batch_size"] == batch_size
    }
    for name, before in done.items():
        settings = repr(rivals.native(name, batch_size))
        if before != settings:
            raise ValueError(
                f"{output} has {name} on {batch_size} images as {before}, "
                f"to be raced as {settings}; delete the row to race it anew"
            )
    return set(done)


def _add(output, row) -> list[dict[str, Any]]:
    """Writes a row beside what another run may have added in the meantime."""
    race = row["attack"], row["batch_size"]
    others = [
        other
        for other in _rows(output)
        if (other["attack"], other["batch_size"]) != race
    ]
    rows = [*others, row]
    with staging.staged(output) as whole:
        whole.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


def _rows(output: pathlib.Path) -> list[dict[str, Any]]:
    if not output.is_file():
        return []
    try:
        rows = json.loads(output.read_text())
        [(row["attack"], row["batch_size"]) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{output} is damaged, or no file of dim_tf.benchmark ({error}); "
            "delete it, or name another --output"
        ) from error
    return rows
