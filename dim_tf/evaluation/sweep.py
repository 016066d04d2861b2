"""Attacks models sample by sample, keeps every record, loses none.

A cell is a model and an attack; a shard is some of its samples, and a file.
What has a file is not made again, so that a run that was killed goes on where
it was, and a run with more samples adds to one with fewer.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from dim_tf import data
from dim_tf import metrics
from dim_tf import models
from dim_tf.attacks.suite import AttackSpec
from dim_tf.evaluation import counting
from dim_tf.evaluation import results
from dim_tf.evaluation.distances import distances
from dim_tf.evaluation.protocol import Trial
from dim_tf.evaluation.search import search


@dataclasses.dataclass(frozen=True)
class Cell:
    """An attack on a model.

    Attributes:
        model: name of the model.
        weights_digest: of its weights.
        dataset: name of the images' data set.
        preset: of the suite that the attack is from, or `results.PROBE`.
        spec: the attack.
        seed: of everything random.
        search_view: of the model, which the attack searches on; empty: the
            model itself.
    """

    model: str
    weights_digest: str
    dataset: str
    preset: str
    spec: AttackSpec
    seed: int
    search_view: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def fingerprint(self) -> results.Fingerprint:
        """What a shard's records depend on."""
        return {
            "weights_digest": self.weights_digest,
            "dataset": self.dataset,
            "attack": repr(self.spec.attack),
            "repeats": self.spec.repeats,
            "epsilons": list(self.spec.epsilons),
            "seed": self.seed,
            "search_view": dict(self.search_view),
        }


@dataclasses.dataclass(frozen=True)
class Shard:
    """Some samples of a cell, and the file that their records go to.

    Attributes:
        cell: the attack, and the model.
        path: of the file.
        positions: of the samples, in the order in which they are attacked.
        num_adversarials: positions below this keep their adversarials; None:
            all do.
    """

    cell: Cell
    path: pathlib.Path
    positions: range
    num_adversarials: int | None = None


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model under attack.

    Attributes:
        model: images -> dict with `scores`.
        examples: all images, in the order in which they are attacked.
    """

    model: keras.Model
    examples: data.Examples


def stratified(labels: np.ndarray) -> np.ndarray:
    """An order of samples in which every beginning has all classes alike.

    Args:
        labels: int64 `(n,)`.

    Returns:
        int64 `(n,)` positions: the first sample of every class, then the
        second of every class, and so on. The first 100 are among the first
        1000.
    """
    ranks = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        ranks[members] = np.arange(len(members))
    return np.lexsort((labels, ranks))


def plan(
    folder: pathlib.Path,
    cells: Iterable[Cell],
    num_examples: int,
    shard_size: int,
    num_adversarials: int | None = None,
) -> list[Shard]:
    """The shards that are still to be made, cell by cell.

    Args:
        folder: of the results.
        cells: to make.
        num_examples: samples of each cell.
        shard_size: samples of a shard at most.
        num_adversarials: of the shards.

    Raises:
        ValueError: a shard that is there is damaged or was made with something
            else; names both.
    """
    missing = []
    for cell in cells:
        place = folder / cell.model / cell.spec.name
        done: set[int] = set()
        for path, positions in results.shards(place):
            results.check_fingerprint(path, cell.fingerprint)
            done.update(positions)
        for positions in _gaps(done, num_examples, shard_size):
            path = results.shard_path(place, positions)
            missing.append(Shard(cell, path, positions, num_adversarials))
    return missing


def _gaps(done: set[int], count: int, size: int) -> Iterator[range]:
    """What is not done, cut at every multiple of the size."""
    for first in range(0, count, size):
        start = None
        for position in range(first, min(first + size, count) + 1):
            end = position == min(first + size, count)
            if start is not None and (end or position in done):
                yield range(start, position)
                start = None
            elif start is None and not end and position not in done:
                start = position


def seconds_per_sample(
    folder: pathlib.Path, model: str, attack: str
) -> float | None:
    """What a sample has cost so far, with this model or else with others.

    Args:
        folder: of the results.
        model: name of the model.
        attack: name of the attack.

    Returns:
        Seconds; None where nothing is known of the attack.
    """
    own = folder / model / attack
    others = sorted(folder.glob(f"*/{attack}"))
    for places in ([own], others):
        seconds = [
            results.read(place, ["seconds"])["seconds"].to_numpy()
            for place in places
            if any(results.shards(place))
        ]
        if seconds:
            return float(np.concatenate(seconds).mean())
    return None


def run_shard(shard: Shard, subject: Subject, *, jit_compile: bool) -> None:
    """Attacks the samples of a shard and writes their records."""
    examples = subject.examples.take(list(shard.positions))
    columns = records(
        shard.cell, subject.model, examples, jit_compile=jit_compile
    )
    if shard.num_adversarials is not None:
        for place, position in enumerate(shard.positions):
            if position >= shard.num_adversarials:
                columns["adversarial"][place] = None
    results.write_shard(shard.path, columns, shard.cell.fingerprint)


def records(
    cell: Cell,
    model: keras.Model,
    examples: data.Examples,
    *,
    jit_compile: bool,
) -> dict[str, Any]:
    """Attacks samples: one record each, whatever happens.

    Args:
        cell: the attack.
        model: images -> dict with `scores`.
        examples: the samples.
        jit_compile: whether XLA compiles the attack.

    Returns:
        Columns of `results.SCHEMA`. Costs are those of the samples attacked
        together, shared out equally.
    """
    clean = metrics.predictions(model, examples.images)
    correct = np.flatnonzero(clean == examples.labels)
    count = len(examples)
    columns: dict[str, Any] = {
        "status": np.full(count, "misclassified", object),
        "adversarial_prediction": clean.copy(),
        "epsilon": np.full(count, np.nan),
        "gradient": metrics.gradient_sizes(model, examples),
        "message": np.full(count, "", object),
        "adversarial": examples.images.copy(),
        **{name: np.zeros(count) for name in results.COSTS},
    }

    def attack(rows):
        return _attack(cell, model, examples.take(rows), jit_compile)

    for rows, found in _attacked(attack, correct):
        for name, values in found.items():
            columns[name][rows] = values
    adversarials = columns["adversarial"]
    success = columns["status"] == "success"
    reached = success | (columns["status"] == "misclassified")
    for norm in results.NORMS:
        sizes = distances(norm, examples.images, adversarials)
        columns[f"distance_{norm}"] = np.where(reached, sizes, np.inf)
    columns["adversarial"] = [
        image.ravel() if good else None
        for image, good in zip(adversarials, success, strict=True)
    ]
    columns |= {
        "sample": examples.rows,
        "label": examples.labels,
        "clean_prediction": clean,
        "model": [cell.model] * count,
        "attack": [cell.spec.name] * count,
        "norm": [cell.spec.norm] * count,
        "seed": [cell.seed] * count,
        "preset": [cell.preset] * count,
    }
    return columns


def _attacked(attack, rows) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Yields rows and what came of them; one that breaks breaks alone."""
    if not len(rows):
        return
    try:
        found = attack(rows)
    except Exception as error:  # whatever an attack or a model may raise
        if len(rows) > 1:
            for half in np.array_split(rows, 2):
                yield from _attacked(attack, half)
            return
        reason = f"{type(error).__name__}: {error}"
        found = {"status": "error", "message": reason}
    yield rows, found


def _attack(cell, model, examples, jit_compile) -> dict[str, Any]:
    view = models.search_view(model, cell.search_view)
    counter, fmodel = _counted(view)
    spec = cell.spec.for_model(model)
    attack = spec.runnable(jit_compile=jit_compile, seed=cell.seed)
    trial = Trial(model, cell.spec.norm, examples)
    counter.take()
    started = time.perf_counter()
    on_view = bool(cell.search_view)
    epsilons = search(spec, attack, fmodel, trial, on_view=on_view)
    seconds = time.perf_counter() - started
    forwards, backwards = counter.take()
    needs_start = spec.attack.supports_starting_points
    failure = np.where(needs_start & ~trial.moved, "no_start", "failed")
    return {
        "status": np.where(np.isfinite(trial.distances), "success", failure),
        "adversarial": trial.adversarials,
        "adversarial_prediction": trial.predictions,
        "epsilon": epsilons,
        "forwards": forwards / len(examples),
        "backwards": backwards / len(examples),
        "seconds": seconds / len(examples),
    }


@functools.lru_cache(maxsize=4)  # compiled attacks stay with their model
def _counted(model: keras.Model):
    counter = counting.Counter()
    return counter, counter.wrap(models.classifier(model))
