"""What records say of a model: accuracies, medians and how sure they are.

As in section 4 of the paper: a misclassified sample is at distance 0, one that
no attack succeeds on infinitely far away; several attacks of a norm are worth
the closest of their adversarials, sample by sample.
"""

import dataclasses

import numpy as np
import pyarrow as pa
from scipy import stats

# Section 4 of the paper, whose text swaps those of L0 and Linf.
THRESHOLDS = {"l2": 1.5, "linf": 0.3, "l0": 12.0, "l1": 8.0}
# Rounding of float32 that a distance may exceed a threshold by.
TOLERANCE = 1e-6
CONFIDENCE = 0.95
_RESAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number from a sample of images, and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Cell:
    """What one attack does to one model.

    Attributes:
        samples: int64 `(n,)`, ascending.
        distances: float64 `(n,)`, in the attack's norm.
    """

    model: str
    attack: str
    norm: str
    samples: np.ndarray
    distances: np.ndarray


def cells(records: pa.Table) -> list[Cell]:
    """The cells of a table of records, in the order of their records.

    Raises:
        ValueError: a sample has two records of one attack.
    """
    models, attacks, norms = (
        np.array(records[name].to_pylist())
        for name in ("model", "attack", "norm")
    )
    samples = records["sample"].to_numpy()
    result = []
    for model, attack in dict.fromkeys(zip(models, attacks, strict=True)):
        rows = np.flatnonzero((models == model) & (attacks == attack))
        rows = rows[np.argsort(samples[rows], kind="stable")]
        own = samples[rows]
        if len(np.unique(own)) < len(own):
            raise ValueError(
                f"{attack} on {model} has several records of sample "
                f"{own[np.flatnonzero(np.diff(own) == 0)[0]]}; delete the "
                "files that overlap"
            )
        norm = str(norms[rows[0]])
        distances = records[f"distance_{norm}"].to_numpy()[rows]
        result.append(Cell(str(model), str(attack), norm, own, distances))
    return result


def closest(members: list[Cell], name: str) -> Cell:
    """Several attacks on a model as one, on the samples that all have."""
    common = members[0].samples
    for cell in members[1:]:
        common = np.intersect1d(common, cell.samples)
    distances = [
        cell.distances[np.searchsorted(cell.samples, common)]
        for cell in members
    ]
    first = members[0]
    return Cell(
        first.model, name, first.norm, common, np.min(distances, axis=0)
    )


def closest_by_model(cells: list[Cell], norm: str) -> list[Cell]:
    """For every model, all attacks of a norm as one, called `all_<norm>`."""
    members: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.norm == norm:
            members.setdefault(cell.model, []).append(cell)
    return [closest(own, f"all_{norm}") for own in members.values()]


def robust_accuracy(cell: Cell) -> Estimate:
    """Share of samples without an adversarial within the norm's threshold.

    The interval is Wilson's.
    """
    limit = THRESHOLDS[cell.norm] * (1 + TOLERANCE)
    robust = int((cell.distances > limit).sum())
    test = stats.binomtest(robust, len(cell.distances))
    interval = test.proportion_ci(CONFIDENCE, "wilson")
    return Estimate(test.statistic, interval.low, interval.high)


def median_distance(cell: Cell) -> Estimate:
    """Median distance over all samples; the interval is a bootstrap's."""
    generator = np.random.default_rng(0)
    count = len(cell.distances)
    draws = generator.integers(0, count, (_RESAMPLES, count))
    medians = np.median(cell.distances[draws], axis=1)
    tail = (1 - CONFIDENCE) / 2
    # Between a finite number and infinity there is nothing to interpolate.
    low, high = np.quantile(medians, (tail, 1 - tail), method="inverted_cdf")
    return Estimate(float(np.median(cell.distances)), float(low), float(high))
