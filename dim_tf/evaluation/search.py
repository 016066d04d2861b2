"""How an attack of the suite is asked for the closest adversarials.

An attack within a fixed epsilon is tried on a grid of epsilons, and then
between the smallest that is enough and the largest that is not. What any other
ends with, one that minimizes the distance or is tried at the threshold alone,
is moved toward the image in the same way, as foolbox does for a given epsilon:
where every pixel is clamped, as in Linf, this is more than a shorter way in the
same direction. If such an attack ran on a cheaper view of the model, it ends
where the view is fooled. The model may be farther along; where it is not, or
beyond the threshold that was asked for, the attack runs again, and has to lead
on the view by as much as the view was wrong. On the model itself it runs again
where its lead may be a rounding of the scores, and has to lead by more.

What is found may be refined in the end, by what is known of the model.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf import data
from dim_tf import metrics
from dim_tf.attacks import DatasetAttack
from dim_tf.attacks import MarginMisclassification
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.spec import AttackSpec
from dim_tf.evaluation import thresholds
from dim_tf.evaluation.distances import distances
from dim_tf.evaluation.protocol import Trial
from dim_tf.evaluation.protocol import doubtful_lead
from dim_tf.scores import decided
from dim_tf.scores import lead

_ATTACK_HALVINGS = 6
# Moving an image costs a single forward pass.
CLIP_TRIES = 11
_CLIP_HALVINGS = 8
# Of the way to what an attack on a view came to.
_FARTHER = np.array([1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0])
_FARTHER_HALVINGS = 5
# Attacks with a margin, each learned from the last one's answer.
_AGREEMENTS = 3


def search(
    spec: AttackSpec,
    attack,
    fmodel,
    trial: Trial,
    *,
    on_view: bool = False,
    others: data.Examples | None = None,
) -> np.ndarray:
    """Runs an attack on the samples of a trial, which keeps what it finds.

    Args:
        spec: the attack's row in the suite.
        attack: `spec.runnable(...)`.
        fmodel: foolbox model.
        trial: judges.
        on_view: whether the foolbox model is only a view of the judge.
        others: whose images an attack starts from where it finds no starting
            point by itself; None: none.

    Returns:
        float64 `(n,)`: the epsilon that was enough, NaN where none was or the
        attack takes none.
    """
    images, labels = trial.examples.images, trial.examples.labels
    if spec.has_grid:
        samples = attack.prepared(attack.check(fmodel, images, labels))

        def attempt(rows, epsilons):
            answers = attack.attempt(samples.take(rows), epsilons)["clipped"]
            return samples.unflatten(answers)

        grid = np.repeat(np.array(spec.epsilons)[:, None], len(images), 1)
        return _narrow(trial, attempt, grid, _ATTACK_HALVINGS)
    (epsilon,) = spec.epsilons
    asked = _Asked(attack, fmodel, trial, epsilon)
    raw = asked.ask(np.arange(len(images)), labels)
    if spec.attack.supports_starting_points and others is not None:
        raw = _started(asked, raw, others)
    if on_view:
        _go_farther(trial, raw)
        raw = _agreeing(asked, raw)
    else:
        raw = _leading(asked, raw)
    if is_clipped(spec):
        _move_closer(spec.norm, trial, raw)
    return np.where(
        asked.left(), np.nan, np.nan if epsilon is None else epsilon
    )


@dataclasses.dataclass(frozen=True)
class _Asked:
    """An attack that is asked without a grid, and the trial of its answers.

    Attributes:
        attack: foolbox attack.
        fmodel: foolbox model.
        trial: judges.
        epsilon: its only one; None: it takes none.
    """

    attack: Any
    fmodel: Any
    trial: Trial
    epsilon: float | None

    def ask(self, rows, criterion, **starts) -> np.ndarray:
        """Attacks some rows `(k,)`; its answers `(k, ...)`, considered."""
        images = self.trial.examples.images[rows]
        answers = self.attack(
            self.fmodel, images, criterion, epsilons=self.epsilon, **starts
        )[0].numpy()
        self.trial.consider(answers, rows, push=True)
        return answers

    def left(self) -> np.ndarray:
        """Which samples have no adversarial that is near enough: bool `(n,)`.

        What was found a little beyond the only epsilon is none.
        """
        distances = self.trial.distances
        if self.epsilon is None:
            return np.isinf(distances)
        return thresholds.beyond(distances, self.epsilon)


def is_clipped(spec: AttackSpec) -> bool:
    """Whether the answer of an attack is moved toward the image.

    In L0 there is nothing between an image and its neighbor.
    """
    return not spec.has_grid and spec.norm != "l0"


def refine(attack, fmodel, trial: Trial) -> None:
    """Tries what an attack makes of the adversarials that a trial has.

    Args:
        attack: takes `starting_points`, and brings no pixel of them farther
            from the image.
        fmodel: foolbox model of the judge.
        trial: judges, and keeps what is closer, be it in another norm.
    """
    rows = np.flatnonzero(np.isfinite(trial.distances))
    if len(rows):
        refined = attack(
            fmodel,
            trial.examples.images[rows],
            trial.examples.labels[rows],
            epsilons=None,
            starting_points=trial.adversarials[rows],
        )
        trial.consider(refined[0], rows, ties=True)


def _move_closer(norm, trial, raw) -> None:
    """Tries answers `(n, ...)` clipped to ever larger parts of their sizes."""
    images = trial.examples.images
    sizes = distances(norm, images, raw)

    def clip(rows, epsilons):
        flat = images[rows].reshape(len(rows), -1)
        moved = NORMS[norm].clip_perturbation(
            flat,
            raw[rows].reshape(flat.shape),
            epsilons[:, None].astype(np.float32),
        )
        return moved.numpy().reshape(images[rows].shape)

    fractions = np.arange(1, CLIP_TRIES + 1) / CLIP_TRIES
    grid = fractions[:, None] * sizes
    _narrow(trial, clip, grid, _CLIP_HALVINGS, np.flatnonzero(sizes))


def _started(asked, raw, others) -> np.ndarray:
    """Attacks again what did not start, from the closest of other images.

    To a model that sees its class in all noise and in all that is of one color,
    an image of another class is still an adversarial to start from.
    """
    trial, fmodel = asked.trial, asked.fmodel
    left = np.flatnonzero(asked.left() & ~trial.moved)
    if not len(left):
        return raw
    images, labels = trial.examples.images[left], trial.examples.labels[left]
    closest = DatasetAttack(distance=asked.attack.distance)
    size = len(trial.examples)
    for first in range(0, len(others), size):
        closest.feed(fmodel, others.images[first : first + size])
    starts, _, found = closest(fmodel, images, labels, epsilons=None)
    found = found.numpy()
    if found.any():
        raw, left = raw.copy(), left[found]
        raw[left] = asked.ask(
            left, labels[found], starting_points=starts[found]
        )
    return raw


def _go_farther(trial, raw) -> None:
    """Looks beyond answers that are not adversarial, in their direction."""
    images = trial.examples.images
    left = np.flatnonzero(np.isinf(trial.distances) & trial.moved)

    def extend(rows, factors):
        start = images[rows]
        scale = factors[:, None, None, None].astype(np.float32)
        return np.clip(start + scale * (raw[rows] - start), 0.0, 1.0)

    grid = np.repeat(_FARTHER[:, None], len(images), 1)
    _narrow(trial, extend, grid, _FARTHER_HALVINGS, left, 1.0)


def _agreeing(asked, raw) -> np.ndarray:
    """Attacks what is left again, as it is learned where the view is wrong.

    View and model are to agree about the last answer, which is the image
    itself where the attack had none, as on one that the view alone gets wrong.
    """
    raw, trial = raw.copy(), asked.trial
    labels = trial.examples.labels
    left = np.flatnonzero(asked.left())
    for _ in range(_AGREEMENTS):
        if not len(left):
            break
        seen, real = (
            lead(scores, labels[left])
            for scores in (
                asked.fmodel(tf.constant(raw[left])).numpy(),
                metrics.outputs(trial.model, raw[left], "scores"),
            )
        )
        with np.errstate(invalid="ignore"):
            wrong = seen - real
        # Where one of the two says nothing, there is nothing to learn.
        known = np.isfinite(wrong)
        left = left[known]
        if not len(left):
            break
        before = raw[left]
        raw[left] = _by_margins(asked, left, wrong[known])
        _go_farther(trial, raw)
        # The same answer again has nothing more to teach.
        moved = (raw[left] != before).any((1, 2, 3))
        left = left[moved & asked.left()[left]]
    return raw


def _leading(asked, raw) -> np.ndarray:
    """Attacks again where an answer's lead is no more than a rounding."""
    trial = asked.trial
    left = np.flatnonzero(asked.left() & trial.moved)
    if not len(left):
        return raw
    labels = trial.examples.labels[left]
    scores = metrics.outputs(trial.model, raw[left], "scores")
    doubtful = (lead(scores, labels) > 0) & decided(scores)
    rows = left[doubtful]
    if len(rows):
        # The scores of the next answer may be a little larger.
        margins = 1.01 * doubtful_lead(scores[doubtful], labels[doubtful])
        answers = _by_margins(asked, rows, margins)
        found = ~asked.left()[rows]
        raw = raw.copy()
        raw[rows[found]] = answers[found]
    return raw


def _by_margins(asked, rows, margins) -> np.ndarray:
    """Attacks again, for answers that lead by margins `(k,)`, not just so."""
    labels = asked.trial.examples.labels[rows]
    return asked.ask(rows, MarginMisclassification(labels, margins))


def _narrow(
    trial, attempt, grid, halvings, among=None, known=0.0
) -> np.ndarray:
    """The least epsilon that is enough, for each sample by itself.

    Args:
        trial: judges.
        attempt: function (rows, epsilons), both `(k,)` -> images.
        grid: ascending epsilons, `(tries, n)`.
        halvings: of the gap below the first epsilon that is enough.
        among: rows to look at, `(k,)`; None: all.
        known: an epsilon that is not enough.

    Returns:
        float64 `(n,)`, NaN where no epsilon of the grid is enough.
    """
    count = grid.shape[1]
    low, high = np.full(count, known), np.full(count, np.nan)
    among = np.arange(count) if among is None else among

    def look(rows, epsilons):
        good = trial.consider(attempt(rows, epsilons), rows)
        high[rows[good]] = epsilons[good]
        low[rows[~good]] = epsilons[~good]

    for epsilons in grid:
        left = among[np.isnan(high[among])]
        if len(left):
            look(left, epsilons[left])
    rows = np.flatnonzero(np.isfinite(high))
    for _ in range(halvings if len(rows) else 0):
        look(rows, (low[rows] + high[rows]) / 2)
    return high
