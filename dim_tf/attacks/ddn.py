"""Decoupled direction and norm: steps on a sphere that shrinks and grows."""

import math
from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks import splitmix
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.graphs import done
from dim_tf.attacks.minimization import Minimization
from dim_tf.attacks.norms import FLOOR
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.norms import l2_size
from dim_tf.attacks.norms import linf_size
from dim_tf.attacks.problem import LOSSES

_SCHEDULES = ("compounding", "cosine")
_LAST_STEPSIZE = 0.01


@frozen
class DDNAttack(Minimization):
    """Gradient steps, each put on a sphere about the image.

    The sphere shrinks after an adversarial step and grows after another one.
    A sample without a gradient takes a random direction.

    Source: Rony et al., "Decoupling direction and norm for efficient
    gradient-based L2 adversarial attacks and defenses" (2019).

    Lengths are multiples of the bounds' range. foolbox 3.3.4 takes them for
    differences of pixels, the same within [0, 1] alone: on images within
    [0, 255] it would hardly move.

    Attributes:
        init_epsilon: radius of the first sphere, in ranges of the bounds.
        steps: gradient steps. foolbox takes 100, and 10 up to its version
            3.3.1.
        gamma: share by which the sphere shrinks and grows.
        schedule: how steps shorten from 1 to 0.01 of the bounds' range:
            `"cosine"`, the paper's and foolbox's since 3.3.0, or
            `"compounding"`, where each cosine shortens the step before once
            more, as in foolbox until then.
        loss: what to climb, one of `problem.LOSSES`; foolbox: the
            cross-entropy, see `problem.log_odds_against`.
    """

    norm: ClassVar[str] = "l2"
    init_epsilon: float = 1.0
    steps: int = 100
    gamma: float = 0.05
    schedule: str = "cosine"
    loss: str = "log_odds"

    def __post_init__(self):
        checks.at_least("steps", self.steps, 1)
        checks.positive("init_epsilon", self.init_epsilon)
        checks.one_of("schedule", self.schedule, _SCHEDULES)
        checks.one_of("loss", self.loss, LOSSES)

    def stepsizes(self) -> list[float]:
        """Length of every step, in ranges of the bounds."""
        longest, stepsizes = 1.0, []
        for index in range(self.steps):
            share = (1 + math.cos(math.pi * index / self.steps)) / 2
            stepsizes.append(
                _LAST_STEPSIZE + (longest - _LAST_STEPSIZE) * share
            )
            if self.schedule == "compounding":
                longest = stepsizes[-1]
        return stepsizes

    def start(self, problem, rows):
        del rows
        images = problem.images
        farthest = l2_size(problem.farthest_change)
        stepsizes = problem.range * tf.constant(self.stepsizes())

        def step(index, perturbation, epsilon, best, smallest):
            scores, gradients = problem.gradient(
                problem.loss(self.loss),
                images + perturbation,
            )
            adversarial = problem.is_adversarial(scores)[:, None]
            size = l2_size(perturbation)
            better = adversarial & (size <= smallest)
            best = tf.where(better, perturbation, best)
            smallest = tf.where(better, size, smallest)
            perturbation += stepsizes[index] * _direction(
                problem, gradients, index
            )
            epsilon *= tf.where(adversarial, 1 - self.gamma, 1 + self.gamma)
            epsilon = tf.minimum(epsilon, farthest)
            perturbation *= epsilon / tf.maximum(l2_size(perturbation), FLOOR)
            moved = problem.clip(images + perturbation)
            return index + 1, moved - images, epsilon, best, smallest

        zeros = tf.zeros_like(images)
        epsilon = self.init_epsilon * problem.range * tf.ones_like(farthest)
        *_, best, _ = tf.while_loop(
            lambda index, *_: True,
            step,
            (0, zeros, epsilon, zeros, farthest),
            maximum_iterations=self.steps,
        )
        return done(problem, images + best)


def _direction(problem, gradients, index):
    """Gradients of unit size; of those that are zero, random directions."""
    none = linf_size(gradients) == 0

    def fill():
        normals = splitmix.normal(problem.seeds, problem.pixels, index)
        return tf.where(none, normals, gradients)

    filled = tf.cond(tf.reduce_any(none), fill, lambda: gradients)
    return NORMS["l2"].direction(filled)
