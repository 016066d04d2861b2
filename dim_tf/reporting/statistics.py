"""What records say of a model: accuracies, medians and how sure they are.

As in section 4 of the paper: a misclassified sample is at distance 0, one that
no attack succeeds on infinitely far away; several attacks of a norm are worth
the closest of their adversarials, sample by sample.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from dim_tf.evaluation import results
from dim_tf.evaluation import thresholds

CONFIDENCE = 0.95


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
        threshold: the distance within which an adversarial counts.
        dataset: of the images; None: not known.
        parts: the attacks that a minimum is over.
    """

    model: str
    attack: str
    norm: str
    samples: np.ndarray
    distances: np.ndarray
    threshold: float
    dataset: str | None = None
    parts: frozenset[str] = frozenset()


def cells(
    records: pa.Table, limits: Mapping[str, float] = thresholds.PAPER
) -> list[Cell]:
    """The cells of a table of records, in the order of their records.

    Args:
        records: of `evaluation.results`; those of probes are left out.
        limits: thresholds by norm.

    Raises:
        ValueError: a sample has two records of one attack, or a model has
            records of several data sets, or of several weights; or there are
            none but those of probes.
    """
    own = _less_probes(records)
    if not len(own):
        raise ValueError(
            "there are only records of probes, which check other attacks; name "
            "the folder that has those, too"
        )
    return _cells(own, limits)


def probes(
    records: pa.Table, limits: Mapping[str, float] = thresholds.PAPER
) -> list[Cell]:
    """The cells of the probes; see `evaluation.probes`."""
    own = records.filter(pc.equal(records["preset"], results.PROBE))
    return _cells(own, limits)


def _less_probes(records):
    return records.filter(pc.not_equal(records["preset"], results.PROBE))


def _cells(records: pa.Table, limits: Mapping[str, float]) -> list[Cell]:
    datasets = _of_models(records, results.DATASET.name, "images of")
    _of_models(records, results.WEIGHTS.name, "the weights")
    model_codes, models = _encoded(records["model"])
    attack_codes, attacks = _encoded(records["attack"])
    samples = records["sample"].to_numpy()
    places = model_codes * len(attacks) + attack_codes
    order = np.lexsort((samples, places))
    starts = np.flatnonzero(np.diff(places[order], prepend=-1))
    found = {}
    for rows in np.split(order, starts[1:]) if len(order) else ():
        first = rows.min()
        model, attack = models[model_codes[first]], attacks[attack_codes[first]]
        own = samples[rows]
        twice = own[1:][np.diff(own) == 0]
        if len(twice):
            raise ValueError(
                f"{attack} on {model} has several records of sample "
                f"{twice[0]}; of the files in {model}/{attack}, delete those "
                "that overlap"
            )
        norm = records["norm"][int(first)].as_py()
        distances = records[f"distance_{norm}"].to_numpy()[rows]
        found[first] = Cell(
            model,
            attack,
            norm,
            own,
            distances,
            limits[norm],
            datasets[model],
        )
    return [found[first] for first in sorted(found)]


def _of_models(
    records: pa.Table, column: str, words: str
) -> dict[str, str | None]:
    """The one value of a column that every model has."""
    found: dict[str, str | None] = {}
    pairs = records.group_by(["model", column], use_threads=False)
    for row in pairs.aggregate([]).to_pylist():
        model, value = row["model"], row[column]
        if found.setdefault(model, value) != value:
            raise ValueError(
                f"{model} has records of {words} {found[model]} and of "
                f"{words} {value}, which are not to be mixed; report on a "
                "folder with those of one"
            )
    return found


def _encoded(column) -> tuple[np.ndarray, list[str]]:
    """Strings as numbers, int64, and what the numbers stand for."""
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy().astype(np.int64)
    return codes, encoded.dictionary.to_pylist()


def closest(members: list[Cell]) -> Cell:
    """Several attacks on a model as one, on the samples that all have.

    It is called `all_<norm>`. In a sweep that is not finished, these samples
    may be none.
    """
    common = members[0].samples
    for cell in members[1:]:
        common = np.intersect1d(common, cell.samples)
    distances = [
        cell.distances[np.searchsorted(cell.samples, common)]
        for cell in members
    ]
    return dataclasses.replace(
        members[0],
        attack=f"all_{members[0].norm}",
        samples=common,
        distances=np.min(distances, axis=0),
        parts=frozenset(cell.attack for cell in members),
    )


def closest_by_model(cells: list[Cell], norm: str) -> list[Cell]:
    """For every model, all attacks of a norm as one, called `all_<norm>`.

    Without models whose attacks have no sample in common: of no sample, there
    is neither an accuracy nor a median.
    """
    members: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.norm == norm:
            members.setdefault(cell.model, []).append(cell)
    found = [closest(own) for own in members.values()]
    return [cell for cell in found if len(cell.samples)]


def closest_across_norms(records: pa.Table) -> list[Cell]:
    """For every model and norm, the attacks of all norms as one.

    An adversarial has a distance in every norm, whichever its attack looks at.

    Args:
        records: of `evaluation.results`; those of probes are left out.

    Returns:
        Cells called `any_<norm>`, of the samples that all attacks on a model
        have, where there are some.
    """
    own = _less_probes(records)
    attacks = own.group_by("model").aggregate([("attack", "count_distinct")])
    wanted = [(f"distance_{norm}", "min") for norm in thresholds.PAPER]
    least = own.group_by(["model", "sample"], use_threads=False)
    least = least.aggregate([*wanted, ("attack", "count")])
    least = least.join(attacks, "model").sort_by("sample")
    least = least.filter(
        pc.field("attack_count") == pc.field("attack_count_distinct")
    )
    return [
        Cell(
            model,
            f"any_{norm}",
            norm,
            rows["sample"].to_numpy(),
            rows[f"distance_{norm}_min"].to_numpy(),
            threshold,
        )
        for model in least["model"].unique().to_pylist()
        for rows in [least.filter(pc.field("model") == model)]
        for norm, threshold in thresholds.PAPER.items()
    ]


def robust(cell: Cell) -> np.ndarray:
    """Which samples have no adversarial within the threshold: bool `(n,)`."""
    return thresholds.beyond(cell.distances, cell.threshold)


def robust_accuracy(cell: Cell) -> Estimate:
    """Share of samples without an adversarial within the threshold.

    The interval is Wilson's.
    """
    return _share(robust(cell))


def clean_accuracy(cells: list[Cell]) -> dict[str, Estimate]:
    """By model, the share of samples that are right without any attack."""
    largest: dict[str, Cell] = {}
    for cell in cells:
        known = largest.setdefault(cell.model, cell)
        if len(cell.samples) > len(known.samples):
            largest[cell.model] = cell
    return {
        model: _share(cell.distances > 0) for model, cell in largest.items()
    }


def larger(
    first: Cell, second: Cell, *, within: bool = False
) -> Estimate | None:
    """Share of samples on which the first cell's distance is the larger one.

    Of the samples that both have, ties left out. The same samples can tell two
    cells apart where accuracies of so many cannot. The interval is Clopper and
    Pearson's, which leaves one half out if and only if the exact sign test
    tells the cells apart.

    Args:
        first, second: of two models.
        within: whether all that counts of a distance is if it is within the
            threshold: the share is then of samples that are robust in one of
            the two alone, and the test McNemar's.

    Returns:
        The share; None where no sample is left.

    Raises:
        ValueError: they are of different images.
    """
    if len({first.dataset, second.dataset} - {None}) > 1:
        raise ValueError(
            f"{first.model} was attacked on images of {first.dataset} and "
            f"{second.model} on images of {second.dataset}, which are no pairs"
        )
    common = np.intersect1d(first.samples, second.samples)
    ours, theirs = (
        (robust(cell) if within else cell.distances)[
            np.searchsorted(cell.samples, common)
        ]
        for cell in (first, second)
    )
    differ = ours != theirs
    return _share((ours > theirs)[differ], "exact") if differ.any() else None


def _share(hits: np.ndarray, method: str = "wilson") -> Estimate:
    test = stats.binomtest(int(hits.sum()), len(hits))
    interval = test.proportion_ci(CONFIDENCE, method)
    return Estimate(test.statistic, interval.low, interval.high)


def median_distance(cell: Cell) -> Estimate:
    """Median distance over all samples.

    The interval is that of the sign test, between two of the distances; of
    fewer than six, it is all there is, from 0 to infinity.
    """
    ordered = np.sort(cell.distances)
    # As many as are below the median by chance, in one case of forty.
    few = int(stats.binom.ppf((1 - CONFIDENCE) / 2, len(ordered), 0.5))
    low, high = (ordered[few - 1], ordered[-few]) if few else (0.0, np.inf)
    return Estimate(float(np.median(ordered)), float(low), float(high))
