"""Single numbers of records, by the names of their row and model, as text."""

import pyarrow as pa

from dim_tf.reporting import paper
from dim_tf.reporting import statistics
from dim_tf.reporting import tables
from dim_tf.reporting.statistics import Cell


class Lookup:
    """What a sentence may say of records.

    A row is an attack, `all_<norm>` for all of a norm, `any_<norm>` for the
    attacks of all norms, or `minimal_accuracy`. `-` stands for what is of no
    sample.

    Args:
        records: of `evaluation.results`.

    Attributes:
        cells: the attacks on the models.
    """

    def __init__(self, records: pa.Table):
        self.cells = statistics.cells(records)
        self._cells = {
            (cell.attack, cell.model): cell
            for cell in (
                *self.cells,
                *tables.minima(self.cells),
                *statistics.closest_across_norms(records),
            )
        }

    def accuracy(self, row: str, model: str) -> str:
        """The share that a row leaves at the paper's threshold."""
        rows = [row]
        if row == "minimal_accuracy":
            rows = [f"all_{norm}" for norm in tables.TITLES]
        found = [cell for each in rows if (cell := self.cell(each, model))]
        if len(found) < len(rows):
            return "-"
        return percent(min(map(_robust_accuracy, found)))

    def interval(self, row: str, model: str) -> str:
        """An accuracy with its interval."""
        cell = self.cell(row, model)
        if not cell:
            return "-"
        return tables.with_interval(statistics.robust_accuracy(cell))

    def median(self, row: str, model: str) -> str:
        """The median distance."""
        cell = self.cell(row, model)
        return f"{statistics.median_distance(cell).value:.2g}" if cell else "-"

    def require(self, *models: str) -> None:
        """Raises ValueError unless there are records of all models."""
        missing = set(models) - {cell.model for cell in self.cells}
        if missing:
            raise ValueError(f"no records of {', '.join(sorted(missing))}")

    def samples(self, model: str, row: str | None = None) -> int:
        """How many samples a row has; None: every attack, at least."""
        self.require(model)
        if row:
            cell = self.cell(row, model)
            return len(cell.samples) if cell else 0
        return min(
            len(cell.samples) for cell in self.cells if cell.model == model
        )

    def paper(self, row: str, model: str) -> str:
        """What the paper reports, in `paper.csv`'s words for the row."""
        value = paper.values().get((row, model))
        if value is None:
            raise ValueError(f"the paper has no {row} of {model}")
        return f"{value:g}" if row.endswith("_median") else percent(value)

    def cell(self, row: str, model: str) -> Cell | None:
        """What a row is of; None: a minimum over no sample."""
        minima = {
            (row, cell.model)
            for cell in self.cells
            for row in (
                f"all_{cell.norm}",
                *(f"any_{norm}" for norm in tables.TITLES),
            )
        }
        if (row, model) not in self._cells.keys() | minima:
            raise ValueError(f"no records of {row} on {model}")
        return self._cells.get((row, model))


def percent(value: float) -> str:
    """A share in whole percent."""
    return f"{value:.0%}"


def _robust_accuracy(cell: Cell) -> float:
    return statistics.robust_accuracy(cell).value
