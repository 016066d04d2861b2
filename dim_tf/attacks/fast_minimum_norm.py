"""Gradient steps in a ball that shrinks and grows around the boundary.

One algorithm and a table of norms. Source: Pintor et al., "Fast minimum-norm
adversarial attacks through adaptive norm constraints" (2021).
"""

import math
from typing import ClassVar

import numpy as np
import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks import l1_ball
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.minimization import Minimization
from dim_tf.attacks.norms import NORMS

_LEAST_GAMMA = 0.001


def _project_onto_l0_ball(perturbations, epsilon):
    """Keeps the largest `epsilon` entries."""
    order = tf.argsort(tf.abs(perturbations), 1, "DESCENDING", stable=True)
    ranks = tf.cast(tf.argsort(order, 1), tf.float32)
    return tf.where(ranks < epsilon, perturbations, 0.0)


_PROJECT = {
    "l0": _project_onto_l0_ball,
    "l1": l1_ball.project,
    "l2": NORMS["l2"].project,
    "linf": NORMS["linf"].project,
}


@frozen
class FastMinimumNorm(Minimization):
    """Gradient steps in a ball that shrinks and grows around the boundary.

    Steps go along the gradient of the margin. The ball shrinks after an
    adversarial step and grows after others; before the first success it
    reaches a little beyond where the boundary seems to be. Starts from the
    image.

    Lengths are multiples of the bounds' range. foolbox 3.3.4 takes them for
    differences of pixels, the same within [0, 1] alone: on images within
    [0, 255] it would hardly move.

    Attributes:
        steps: gradient steps.
        max_stepsize: length of the first step, in ranges of the bounds.
        min_stepsize: of the last; None: a hundredth of the first.
        gamma: share by which the ball changes at first; in the end, 0.001.
        overshoot: share by which the ball reaches beyond the boundary. Without
            it, as in the paper and in foolbox, steps may end ever closer to a
            boundary that they never cross.
    """

    changing: ClassVar[tuple[str, ...]] = (
        *("active", "result", "distance", "found"),
        *("perturbation", "epsilon", "step"),
    )
    steps_together: ClassVar[int] = 100
    steps: int = 100
    max_stepsize: float = 1.0
    min_stepsize: float | None = None
    gamma: float = 0.05
    overshoot: float = 0.02

    def __post_init__(self):
        checks.at_least("steps", self.steps, 1)

    def start(self, problem, rows):
        del rows
        misclassified = problem.fooled_by(problem.images)
        zeros = tf.zeros_like(problem.images)
        return {
            "active": ~misclassified,
            "result": problem.images,
            "distance": NORMS[self.norm].size(problem.farthest_change),
            "found": misclassified,
            "perturbation": zeros,
            "epsilon": self.first_epsilon(problem) + zeros[:, :1],
            "step": tf.zeros((problem.batch,), tf.int32),
        }

    def step(self, problem, search):
        perturbation, distance = search["perturbation"], search["distance"]
        flat = problem.clip(problem.images + perturbation)
        scores, gradients = problem.gradient(problem.margin, flat)
        adversarial = problem.is_adversarial(scores)[:, None]
        size = NORMS[self.norm].size(perturbation)
        best = adversarial & (size <= distance)
        distance = tf.where(best, size, distance)
        found = search["found"] | adversarial[:, 0]

        stepsize, gamma = self._schedules(search["step"])
        grown = self.grow(search["epsilon"], gamma)
        if self.norm != "l0":
            reach = size + self._reach(problem, scores, gradients)
            reach *= 1.0 + self.overshoot
            grown = tf.where(found[:, None], grown, reach)
        shrunk = tf.minimum(self.shrink(search["epsilon"], gamma), distance)
        epsilon = tf.where(adversarial, shrunk, grown)
        farthest = NORMS[self.norm].size(problem.farthest_change)
        epsilon = tf.minimum(epsilon, farthest)
        stepsize *= problem.range
        perturbation += stepsize * NORMS["l2"].direction(gradients)
        perturbation = _PROJECT[self.norm](perturbation, epsilon)
        moved = problem.clip(problem.images + perturbation)
        step = search["step"] + 1
        return {
            "active": search["active"] & (step < self.steps),
            "result": tf.where(best, flat, search["result"]),
            "distance": distance,
            "found": found,
            "perturbation": moved - problem.images,
            "epsilon": epsilon,
            "step": step,
        }

    def _schedules(self, step):
        """Length of the step, in ranges, change of the ball: `(batch, 1)`."""
        progress = tf.cast(step, tf.float32)[:, None] / self.steps
        annealed = (1.0 + tf.cos(math.pi * progress)) / 2.0
        least = self.min_stepsize
        if least is None:
            least = self.max_stepsize / 100
        return (
            least + (self.max_stepsize - least) * annealed,
            _LEAST_GAMMA + (self.gamma - _LEAST_GAMMA) * annealed,
        )

    def first_epsilon(self, problem):
        return problem.range

    def shrink(self, epsilon, gamma):
        return epsilon * (1.0 - gamma)

    def grow(self, epsilon, gamma):
        return epsilon * (1.0 + gamma)

    def _reach(self, problem, scores, gradients):
        """How far the boundary seems to be."""
        margin = tf.abs(problem.margin(scores))[:, None]
        reach = margin / NORMS[self.norm].dual_size(gradients)
        # Without a gradient it may be anywhere.
        return tf.where(tf.math.is_finite(reach), reach, np.inf)


@frozen
class L0FMNAttack(FastMinimumNorm):
    """Fast minimum-norm attack in L0; the ball's size is a whole number.

    foolbox 3.3.4 keeps one pixel more than that.
    """

    norm: ClassVar[str] = "l0"

    def first_epsilon(self, problem):
        return 1.0  # a count of pixels, whatever their range

    def shrink(self, epsilon, gamma):
        smaller = tf.floor(super().shrink(epsilon, gamma))
        return tf.maximum(tf.minimum(smaller, epsilon - 1.0), 1.0)

    def grow(self, epsilon, gamma):
        return tf.maximum(tf.floor(super().grow(epsilon, gamma)), epsilon + 1.0)


class L1FMNAttack(FastMinimumNorm):
    """Fast minimum-norm attack in L1."""

    norm: ClassVar[str] = "l1"


class L2FMNAttack(FastMinimumNorm):
    """Fast minimum-norm attack in L2; foolbox 3.3.4 does not project in it."""

    norm: ClassVar[str] = "l2"


class LInfFMNAttack(FastMinimumNorm):
    """Fast minimum-norm attack in Linf."""

    norm: ClassVar[str] = "linf"
