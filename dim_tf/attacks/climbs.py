"""How APGD goes on: the lengths of its steps, and in L1 their sparsity.

A climb knows the best point so far and the gradient there. To what the attack
keeps of it, a dict of tensors `(batch, ...)`, it adds a memory of its own.
"""

import abc
import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import tensorflow as tf

from dim_tf.attacks import l1_ball
from dim_tf.attacks import splitmix
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.norms import l0_size

# Share of a step that is new; the rest goes on as the last one went.
_NEW = 0.75
# Shares of the steps until the first check, by which the time to the next one
# is shorter, and which it never falls below.
_FIRST_CHECK, _SOONER, _LEAST = 0.22, 0.03, 0.06
# The rest is of L1. Radii of the balls, in epsilons.
_RADII = (3.0, 2.0, 1.0)
# Share of the steps, rounded up, within each ball but the last.
_STAGE = 0.3
# Share of a stage's steps between two checks.
_CHECK = 0.04
# So many times more pixels differ in the best point than move in a step.
_FEWER = 1.5
# Where a smaller share of the pixels that differed at the last check still do,
# steps are as long as at first.
_THIN = 0.95
# Elsewhere they are so many times shorter, and in all at most so many times.
_SHORTER, _SHORTEST = 1.5, 10.0


@dataclasses.dataclass(frozen=True)
class Climb(abc.ABC):
    """From one point to the next.

    Attributes:
        norm: of the ball.
        steps: gradient steps, in all stages together.
        rho: share of the steps that must raise the loss, where that counts.
    """

    norm: str
    steps: int
    rho: float

    # Of the ball in every stage, in epsilons; at last 1.
    radii: ClassVar[tuple[float, ...]] = (1.0,)
    # Names of what it adds to the state.
    memory: ClassVar[tuple[str, ...]]

    @property
    def lengths(self) -> tuple[int, ...]:
        """Steps of every stage."""
        return (self.steps,)

    @abc.abstractmethod
    def start(self, problem, seeds, radius):
        """Where a run begins: images `(batch, pixels)`."""

    @abc.abstractmethod
    def restrict(self, problem, flat, radius):
        """Images moved to within the ball and the bounds."""

    @abc.abstractmethod
    def begin(self, problem, point, radius):
        """The memory of a stage that starts at a point."""

    @abc.abstractmethod
    def move(self, problem, state, look, radius):
        """One step.

        Args:
            problem: `Problem`.
            state: of the attack, with the best point up to this one, its loss
                and its gradient.
            look: what was found at the point: `loss` and `gradient`.
            radius: of the ball, `(batch, 1)`.

        Returns:
            dict of `point` and the memory.
        """


class Halving(Climb):
    """In L2 and Linf: with momentum, by steps that halve where they fail.

    The first step is two radii long. At checkpoints, ever closer together, a
    sample whose loss rose in too few of the steps since, or whose best loss did
    not rise since one that left the step as it was, goes back to its best point
    with half the step.
    """

    memory = (
        "stepsize",
        "previous",
        "checked_loss",
        "loss",
        "rises",
        "reduced",
    )

    @property
    def ball(self):
        return NORMS[self.norm]

    def start(self, problem, seeds, radius):
        draws = self.ball.random_start(seeds, problem.pixels)
        return problem.clip(problem.images + radius * draws)

    def restrict(self, problem, flat, radius):
        return problem.restrict(flat, self.ball, radius)

    def begin(self, problem, point, radius):
        lowest = tf.fill((problem.batch,), -np.inf)
        return {
            "stepsize": 2.0 * radius,
            "previous": point,
            "checked_loss": lowest,
            # No rise comes before the first step.
            "loss": -lowest,
            "rises": tf.zeros((problem.batch,), tf.int32),
            "reduced": tf.ones((problem.batch,), tf.bool),
        }

    def move(self, problem, state, look, radius):
        rises = state["rises"] + tf.cast(look["loss"] > state["loss"], tf.int32)
        periods = tf.gather(_periods(self.steps), state["step"])
        few = tf.cast(rises, tf.float32) <= self.rho * periods
        stuck = ~state["reduced"] & (
            state["checked_loss"] >= state["best_loss"]
        )
        check = periods > 0
        halve = check & (few | stuck)
        back = halve[:, None]
        point, gradient = _back(back, state, look)
        stepsize = tf.where(back, 0.5, 1.0) * state["stepsize"]
        step = stepsize * self.ball.direction(gradient)
        ahead = self.restrict(problem, point + step, radius)
        new = tf.where(state["step"] == 0, 1.0, _NEW)[:, None]
        ahead = (
            point
            + new * (ahead - point)
            + (1 - new) * (point - state["previous"])
        )
        return {
            "point": self.restrict(problem, ahead, radius),
            "stepsize": stepsize,
            "previous": point,
            "checked_loss": tf.where(
                check, state["best_loss"], state["checked_loss"]
            ),
            "loss": look["loss"],
            "rises": tf.where(check, 0, rises),
            "reduced": tf.where(check, halve, state["reduced"]),
        }


class Thinning(Climb):
    """In L1: along few pixels, ever fewer where the best point shows how.

    A step moves the pixels of the largest gradients, all as far: two thirds as
    many as differed in the best point at the last checkpoint. The first one is
    as long as the radius. Where at a checkpoint fewer than 95 % of the pixels
    differ that did at the last one, a sample goes back to its best point, and
    its steps are as long as the first; elsewhere they become shorter, down to a
    tenth. The first stages are within balls of three and two epsilons, and each
    goes on from the best point of the one before.

    Of four steps, or of fewer than three, the authors' program leaves fewer to
    the last ball.

    Source: Croce and Hein, "Mind the box: l1-APGD for sparse adversarial
    attacks on image classifiers" (2021).
    """

    radii = _RADII
    memory = ("stepsize", "differing")

    @property
    def lengths(self):
        early = len(_RADII) - 1
        # One step at least is left for the last.
        each = min(math.ceil(_STAGE * self.steps), (self.steps - 1) // early)
        return (*(early * [each]), self.steps - early * each)

    def start(self, problem, seeds, radius):
        noise = problem.range * splitmix.normal(seeds, problem.pixels)
        return self.restrict(problem, problem.images + noise, radius)

    def restrict(self, problem, flat, radius):
        return l1_ball.restrict(problem, flat, radius)

    def begin(self, problem, point, radius):
        differing = l0_size(point - problem.images)
        return {"stepsize": radius, "differing": differing}

    def move(self, problem, state, look, radius):
        periods = [max(int(_CHECK * length), 1) for length in self.lengths]
        period = tf.gather(periods, state["stage"])
        step = state["step"]
        check = ((step > 0) & (step % period == 0))[:, None]
        differing = l0_size(state["best"] - problem.images)
        thin = differing < _THIN * state["differing"]
        point, gradient = _back(check & thin, state, look)
        shorter = tf.maximum(state["stepsize"] / _SHORTER, radius / _SHORTEST)
        shorter = tf.where(thin, radius, shorter)
        stepsize = tf.where(check, shorter, state["stepsize"])
        differing = tf.where(check, differing, state["differing"])
        moving = _largest(gradient, differing / _FEWER)
        ahead = point + stepsize * NORMS["l1"].direction(moving)
        return {
            "point": self.restrict(problem, ahead, radius),
            "stepsize": stepsize,
            "differing": differing,
        }


CLIMBS: dict[str, Callable[..., Climb]] = {
    "l1": Thinning,
    "l2": Halving,
    "linf": Halving,
}


def _back(chosen, state, look):
    """Point and gradient to go on from: the best, of rows that are chosen."""
    return (
        tf.where(chosen, state["best"], state["point"]),
        tf.where(chosen, state["best_gradient"], look["gradient"]),
    )


def _largest(gradients, count):
    """Signs of the largest entries of gradients, as many as are asked for.

    Args:
        gradients: float32 `(batch, pixels)`.
        count: float32 `(batch, 1)`, rounded up to at least one.
    """
    sizes = tf.abs(gradients)
    last = tf.cast(tf.math.ceil(tf.maximum(count, 1.0)), tf.int32) - 1
    ordered = tf.sort(sizes, 1, "DESCENDING")
    least = tf.gather(ordered, last, batch_dims=1)
    return tf.where(sizes >= least, tf.sign(gradients), 0.0)


def _periods(steps: int) -> np.ndarray:
    """For every step, the steps since the last checkpoint; 0: it is none."""
    periods = np.zeros(steps + 1, np.float32)
    period, least = (
        max(int(_FIRST_CHECK * steps), 1),
        max(int(_LEAST * steps), 1),
    )
    sooner = max(int(_SOONER * steps), 1)
    check = period
    while check <= steps:
        periods[check] = period
        period = max(period - sooner, least)
        check += period
    return periods
