"""What the paper reports, to stand beside what is found here."""

import csv
import functools
import pathlib

from dim_tf.evaluation import thresholds
from dim_tf.reporting.statistics import Cell

# What the paper attacks its models on.
_DATASET = "mnist"
_TABLE = pathlib.Path(__file__).with_name("paper.csv")


@functools.cache
def _rows() -> list[dict[str, str]]:
    with _TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


@functools.cache
def values() -> dict[tuple[str, str], float]:
    """What the paper reports, by row and model, such as `l2_ddn` and `dim`."""
    return {
        (row["row"], name): float(text)
        for row in _rows()
        for name, text in row.items()
        if name not in ("row", "norm") and text
    }


def attacks(norm: str) -> list[str]:
    """The attacks that the paper's numbers of a norm are the minimum of."""
    return [
        row["row"]
        for row in _rows()
        if row["norm"] == norm and not row["row"].startswith("all_")
    ]


def accuracy(cell: Cell) -> float | None:
    """What the paper reports in place of a cell's; None: nothing."""
    if cell.threshold != thresholds.PAPER[cell.norm]:
        return None
    if cell.parts:
        return _of_minimum(cell, "accuracy")
    return value(cell, cell.attack)


def median(cell: Cell) -> float | None:
    """What the paper reports in place of a minimum's; None: nothing.

    Of one attack alone it reports no median.
    """
    return _of_minimum(cell, "median")


def _of_minimum(cell, kind):
    if not is_whole(cell):
        return None
    return value(cell, f"{cell.attack}_{kind}")


def is_whole(cell: Cell) -> bool:
    """Whether a minimum is over all of the paper's attacks of its norm."""
    return cell.parts >= frozenset(attacks(cell.norm))


def value(cell: Cell, row: str) -> float | None:
    """What the paper reports of a cell's model in a row; None: nothing.

    Of a model of that name on other images it reports nothing.
    """
    if cell.dataset != _DATASET:
        return None
    return values().get((row, cell.model))


def minimal_accuracy(minima: list[Cell]) -> float | None:
    """What the paper reports in place of the least of a model's minima.

    None: nothing, as where they are not those of its norms and thresholds.
    """
    limits = {cell.norm: cell.threshold for cell in minima}
    if limits != thresholds.PAPER or not all(map(is_whole, minima)):
        return None
    return value(minima[0], "minimal_accuracy")
