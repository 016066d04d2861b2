"""What the tables say, as numbers for programs."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

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
        A row for every attack on a model, and one for the closest of all
        attacks of a norm, called `all_<norm>`; shares from 0 to 1. None is what
        the paper does not say.

    Raises:
        ValueError: as `tables.results_table`.
    """
    cells = statistics.cells(records, limits)
    if not allow_missing:
        tables.check(cells, tables.norms_of_paper(records))
    minima = [
        cell
        for norm in tables.TITLES
        for cell in statistics.closest_by_model(cells, norm)
    ]
    return [_row(cell) for cell in (*cells, *minima)]


def _row(cell: Cell) -> Row:
    return {
        "model": cell.model,
        "attack": cell.attack,
        "norm": cell.norm,
        "dataset": cell.dataset,
        "samples": len(cell.samples),
        "threshold": cell.threshold,
        **_estimate("accuracy", statistics.robust_accuracy(cell)),
        "paper_accuracy": tables.paper_accuracy(cell),
        **_estimate("median", statistics.median_distance(cell)),
        "paper_median": tables.paper_median(cell),
    }


def _estimate(name: str, estimate: Estimate) -> Row:
    return {
        name if part == "value" else f"{name}_{part}": value
        for part, value in dataclasses.asdict(estimate).items()
    }


def to_csv(found: list[Row], signs: list[tuple[str, str]]) -> str:
    """Comma-separated values below a line of names; infinity is `inf`."""
    del signs  # which are no rows
    text = io.StringIO()
    writer = csv.DictWriter(text, found[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue()


def to_json(found: list[Row], signs: list[tuple[str, str]]) -> str:
    """An object of `results`, the rows, and `signs` of masked gradients.

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
    whole = {"results": results, "signs": said}
    return json.dumps(whole, indent=1, allow_nan=False) + "\n"


FORMATS = {".csv": to_csv, ".json": to_json}
