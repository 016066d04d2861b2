"""What the records of one model say, for programs and for people."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dim_tf.evaluation.results import PROBE
from dim_tf.reporting import diagnostics
from dim_tf.reporting import formats
from dim_tf.reporting import statistics
from dim_tf.reporting import tables
from dim_tf.reporting.statistics import Estimate


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Robustness:
    """What attacks leave of a model; as text, a table and signs in Markdown.

    Attributes:
        records: of `evaluation.results`, a row for every image and attack.
        thresholds: distances by norm that accuracies are at.
        images: float32 `(n, height, width, channels)` in [0, 1], those that
            were attacked, in the order of `samples`.
        samples: int64 `(n,)`, their places among the images given, ascending.
    """

    records: pa.Table
    thresholds: Mapping[str, float]
    images: np.ndarray
    samples: np.ndarray

    def __str__(self):
        rows = tables.results_table(
            self.records, allow_missing=True, limits=self.thresholds
        )
        return f"{formats.to_markdown(rows)}\n\n{formats.listing(self.signs)}"

    # What consoles and notebooks show.
    __repr__ = _repr_markdown_ = __str__

    @functools.cached_property
    def signs(self) -> list[tuple[str, str]]:
        """What to know before believing it, see `reporting.diagnostics`."""
        return diagnostics.diagnostics(self.records, self.thresholds)

    @property
    def clean_accuracy(self) -> Estimate:
        """Share of images that are right without any attack, in [0, 1]."""
        (share,) = statistics.clean_accuracy(self._cells).values()
        return share

    def accuracy(self, norm: str) -> Estimate:
        """Share of images that no attack of a norm changes the answer to.

        Args:
            norm: `"l2"`, `"linf"`, `"l0"` or `"l1"`, within whose threshold an
                adversarial counts.

        Returns:
            In [0, 1], with its 95 % interval.

        Raises:
            ValueError: no attack was of this norm.
        """
        return statistics.robust_accuracy(self._closest(norm))

    def median_distance(self, norm: str) -> Estimate:
        """Of the closest adversarials; arguments and errors as `accuracy`."""
        return statistics.median_distance(self._closest(norm))

    def distances(self, norm: str) -> np.ndarray:
        """Of the closest adversarials; arguments and errors as `accuracy`.

        Returns:
            float64 `(n,)`; 0 for images that are misclassified anyway,
            infinite for those that no attack succeeded on.
        """
        return self._closest(norm).distances

    def adversarials(self, norm: str) -> np.ndarray:
        """The closest adversarials; arguments and errors as `accuracy`.

        Returns:
            float32 like `images`; the image itself where there is none, or
            none is needed.
        """
        self._closest(norm)
        found = self.records.filter(
            (pc.field("norm") == norm)
            & (pc.field("preset") != PROBE)
            & pc.field("adversarial").is_valid()
        )
        flat = found["adversarial"].combine_chunks().flatten().to_numpy()
        places = np.searchsorted(self.samples, found["sample"].to_numpy())
        # Of several that go to one place, the last one stays.
        order = np.argsort(-found[f"distance_{norm}"].to_numpy(), kind="stable")
        closest = self.images.copy()
        pixels = flat.reshape(-1, *closest.shape[1:])
        closest[places[order]] = pixels[order]
        return closest

    @functools.cached_property
    def _cells(self) -> list[statistics.Cell]:
        return statistics.cells(self.records, self.thresholds)

    def _closest(self, norm: str) -> statistics.Cell:
        tables.check_norm(norm)
        for cell in statistics.closest_by_model(self._cells, norm):
            return cell
        there = dict.fromkeys(cell.norm for cell in self._cells)
        raise ValueError(
            f"no attack was in {norm}, but in {', '.join(there)}; choose a "
            "suite with some"
        )
