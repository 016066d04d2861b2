"""Pictures of records, saved beside a page that shows them."""

import functools
import pathlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from dim_tf.evaluation import results
from dim_tf.reporting import figures
from dim_tf.reporting import statistics
from dim_tf.reporting import tables
from dim_tf.reporting.statistics import Cell

Adversarials = Callable[..., dict[tuple[str, int], np.ndarray]]


class Drawing:
    """Draws what a template shows.

    Args:
        records: of `evaluation.results`, without adversarials.
        cells: of `statistics.cells`.
        adversarials: `results.adversarials` of the records' folder.
        folder: for the pictures, beside the filled template.
    """

    def __init__(
        self,
        records: pa.Table,
        cells: list[Cell],
        adversarials: Adversarials,
        folder: pathlib.Path,
    ):
        self._records = records
        self._cells = cells
        self._adversarials = adversarials
        self._folder = folder

    def curves(self, norm: str) -> str:
        """Accuracy over epsilon, as a Markdown image; `-`: of no sample."""
        tables.check_norm(norm)
        least = statistics.closest_by_model(self._cells, norm)
        if not least:
            return "-"
        figure = figures.accuracy_curves(least, norm)
        words = f"Accuracy over epsilon, {tables.TITLES[norm]}"
        return self._saved(figure, f"curves_{norm}.png", words)

    def gallery(self, norm: str, other: str = "") -> str:
        """The closest adversarials, as a Markdown image; `-`: there are none.

        Args:
            norm: in which they are.
            other: folder of other records; empty: those of the template.
        """
        tables.check_norm(norm)
        records, adversarials = self._records, self._adversarials
        name, words = f"gallery_{norm}", "The closest adversarials"
        if other:
            place = pathlib.Path(other)
            records = results.read(place, results.WITHOUT_IMAGES)
            adversarials = functools.partial(results.adversarials, place)
            name, words = f"{name}_{place.name}", f"{words}, {place.name}"
        shown = {
            model: figures.pictured(records, model, norm, adversarials)
            for model in records["model"].unique().to_pylist()
        }
        if not any(shown.values()):
            return "-"
        figure = figures.gallery(shown, norm, words)
        words = f"{words}, {tables.TITLES[norm]}"
        return self._saved(figure, f"{name}.png", words)

    def _saved(self, figure: Figure, name: str, words: str) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(self._folder / name, dpi=110)
        return f"![{words}]({self._folder.name}/{name})"
