"""Attacks the samples of a shard, and keeps a record of every one."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from dim_tf import circumstances
from dim_tf import data
from dim_tf import metrics
from dim_tf import models
from dim_tf.caching import kept_with_model
from dim_tf.evaluation import counting
from dim_tf.evaluation import gradients
from dim_tf.evaluation import planning
from dim_tf.evaluation import results
from dim_tf.evaluation.distances import distances
from dim_tf.evaluation.planning import REFINEMENT
from dim_tf.evaluation.planning import Cell
from dim_tf.evaluation.planning import Shard
from dim_tf.evaluation.protocol import Trial
from dim_tf.evaluation.search import refine
from dim_tf.evaluation.search import search

# Images that an attack may start from: the first ones, which are the same for
# any number of images from there on.
_STARTS = 100


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model under attack.

    Attributes:
        model: images -> dict with `scores`.
        examples: all images, in the order in which they are attacked.
    """

    model: keras.Model
    examples: data.Examples


def run_shard(
    shard: Shard, subject: Subject, *, jit_compile: bool
) -> tuple[str, ...]:
    """Attacks the samples of a shard and writes their records.

    Those that others wrote in the meantime stay as they are.

    Returns:
        Why the attack broke on samples, a reason for each of these.
    """
    examples = subject.examples.take(list(shard.positions))
    columns = records(
        shard.cell,
        subject.model,
        examples,
        jit_compile=jit_compile,
        others=subject.examples.take(slice(_STARTS)),
    )
    if shard.num_adversarials is not None:
        for place, position in enumerate(shard.positions):
            if position >= shard.num_adversarials:
                columns["adversarial"][place] = None
    for piece in planning.left(shard):
        first = piece.positions.start - shard.positions.start
        rows = slice(first, first + len(piece.positions))
        results.write_shard(
            piece.path,
            {name: column[rows] for name, column in columns.items()},
            shard.cell.fingerprint,
            examples.images.shape[1:],
            circumstances.here(),
        )
    broken = columns["status"] == "error"
    return tuple(columns["message"][broken])


def records(
    cell: Cell,
    model: keras.Model,
    examples: data.Examples,
    *,
    jit_compile: bool,
    others: data.Examples | None = None,
) -> dict[str, Any]:
    """Attacks samples: one record each, whatever happens.

    Args:
        cell: the attack.
        model: images -> dict with `scores`.
        examples: the samples.
        jit_compile: whether XLA compiles the attack.
        others: to start from, see `search`.

    Returns:
        Columns of `results.SCHEMA`. Costs are those of the samples attacked
        together, shared out equally; seconds are of judging, too.
    """
    clean = metrics.predictions(model, examples.images)
    correct = np.flatnonzero(clean == examples.labels)
    columns = _blank(cell, examples, clean)

    def attack(rows):
        return _attack(cell, model, examples.take(rows), jit_compile, others)

    def look(rows):
        entries = gradients.largest_entries(model, examples.take(rows))
        return {"gradient": entries}

    for rows, found in _attacked(look, np.arange(len(examples))):
        columns["gradient"][rows] = found.get("gradient", np.nan)
        columns["message"][rows] = found.get("message", "")
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
    return columns


def _blank(cell, examples, clean) -> dict[str, Any]:
    """All columns but distances, of samples that nothing was done to yet.

    Args:
        cell: the attack.
        examples: the samples.
        clean: what the model takes them for.
    """
    count = len(examples)
    return {
        "model": [cell.model] * count,
        "attack": [cell.spec.name] * count,
        "norm": [cell.spec.norm] * count,
        "sample": examples.rows,
        "label": examples.labels,
        "clean_prediction": clean,
        "adversarial_prediction": clean.copy(),
        "status": np.full(count, "misclassified", object),
        "epsilon": np.full(count, np.nan),
        "gradient": np.full(count, np.nan),
        **{name: np.zeros(count) for name in results.COSTS},
        "seed": [cell.seed] * count,
        "preset": [cell.preset] * count,
        "message": np.full(count, "", object),
        "adversarial": examples.images.copy(),
    }


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


def _attack(cell, model, examples, jit_compile, others) -> dict[str, Any]:
    view = models.search_view(model, cell.search_view)
    counter, fmodel = _counted(view)
    spec = cell.spec.for_model(model)
    attack = spec.runnable(jit_compile=jit_compile, seed=cell.seed)
    trial = Trial(model, cell.spec.norm, examples)
    counter.take()
    started = time.perf_counter()
    on_view = bool(cell.search_view)
    epsilons = search(
        spec, attack, fmodel, trial, on_view=on_view, others=others
    )
    seconds = time.perf_counter() - started
    forwards, backwards = counter.take()
    if cell.refined:
        # The judge itself, since a view may see another boundary; like those of
        # all judging, its passes are not counted.
        refine(REFINEMENT, _counted(model)[1], trial)
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


@kept_with_model  # attacks compile for what it returns
def _counted(model: keras.Model):
    counter = counting.Counter()
    return counter, counter.wrap(models.classifier(model))
