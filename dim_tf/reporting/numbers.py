"""What the tables say, as numbers for programs."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from dim_tf.reporting import paper
from dim_tf.reporting import provenance
from dim_tf.reporting import statistics
from dim_tf.reporting import tables
from dim_tf.reporting.statistics import Cell
from dim_tf.reporting.statistics import Estimate

Row = dict[str, Any]


def rows(
    records: pa.Table, limits: Mapping[str, float], allow_missing: bool = False
) -> list[Row]:
    """Accuracies and distances of every attack, and of all of a norm.

    Args:
        records: of `evaluation.results`.
        limits: thresholds by norm.
        allow_missing: as `tables.results_table`.

    Returns:
        A row for every attack on a model; for the closest of all attacks of a
        norm, called `all_<norm>`; for the least accuracy of these, called
        `minimal_accuracy`; and for the `clean_accuracy`. Shares are from 0 to
        1. `lacks` says why a minimum is not whole. None is what there is not.

    Raises:
        ValueError: as `tables.results_table`.
    """
    cells = statistics.cells(records, limits)
    whole = tables.norms_of_paper(records)
    if not allow_missing:
        tables.check(cells, whole)
    gaps = tables.gaps(cells, whole)
    minima = tables.minima(cells)
    found = [
        _row(cell, paper.accuracy(cell))
        | _estimate("median", statistics.median_distance(cell))
        | {"paper_median": paper.median(cell)}
        | {"lacks": gaps.get(cell.norm) if cell.parts else None}
        for cell in (*cells, *minima)
    ]
    different = tables.mixed(minima)
    for model in dict.fromkeys(cell.model for cell in minima):
        own = [cell for cell in minima if cell.model == model]
        least = dataclasses.replace(
            tables.weakest(own), attack="minimal_accuracy"
        )
        lacks = "; ".join(gaps.values()) or different.get(model)
        known = paper.minimal_accuracy(own)
        found.append(_row(least, known) | {"lacks": lacks})
    for model, share in statistics.clean_accuracy(cells).items():
        row = {"model": model, "attack": "clean_accuracy"}
        found.append(row | _estimate("accuracy", share))
    return [dict.fromkeys(found[0]) | row for row in found]


def _row(cell: Cell, known: float | None) -> Row:
    return {
        "model": cell.model,
        "attack": cell.attack,
        "norm": cell.norm,
        "dataset": cell.dataset,
        "samples": len(cell.samples),
        "threshold": cell.threshold,
        **_estimate("accuracy", statistics.robust_accuracy(cell)),
        "paper_accuracy": known,
    }


def _estimate(name: str, estimate: Estimate) -> Row:
    return {
        name if part == "value" else f"{name}_{part}": value
        for part, value in dataclasses.asdict(estimate).items()
    }


def to_csv(
    found: list[Row], signs: list[tuple[str, str]], made: provenance.Made
) -> str:
    """Comma-separated values below a line of names; infinity is `inf`."""
    del signs, made  # which are no rows
    text = io.StringIO()
    writer = csv.DictWriter(text, found[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def to_json(
    found: list[Row], signs: list[tuple[str, str]], made: provenance.Made
) -> str:
    """An object of `results`, the rows, `signs` of masked gradients, and more.

    What records were `made_with` is by model, as in `provenance.facts`.

    JSON has no infinity: a distance that is infinite is `"inf"`.
    """
    results = [
        {
            name: "inf" if value == math.inf else value
            for name, value in row.items()
        }
        for row in found
    ]
    said = [{"level": level, "text": text} for level, text in signs]
    whole = {
        "results": results,
        "signs": said,
        "made_with": provenance.facts(made),
    }
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


FORMATS = {".csv": to_csv, ".json": to_json}
