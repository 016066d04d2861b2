"""Contrast reduction: blending an image with an even gray."""

from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.flexible import Flexible
from dim_tf.attacks.flexible import LinearSearch
from dim_tf.attacks.graphs import done
from dim_tf.attacks.norms import FLOOR
from dim_tf.attacks.norms import NORMS


def _toward_gray(problem, target):
    lower, _ = problem.bounds
    return lower + target * problem.range - problem.images


@frozen
class L2ContrastReductionAttack(FixedEpsilon):
    """As far toward gray as epsilon allows, whatever the model says to it.

    Attributes:
        target: the gray, from 0 (lower bound) to 1 (upper bound).
    """

    norm: ClassVar[str] = "l2"
    target: float = 0.5

    def perturb(self, problem, epsilon, prepared):
        del prepared
        way = _toward_gray(problem, self.target)
        length = tf.maximum(NORMS["l2"].size(way), FLOOR)
        share = tf.minimum(epsilon / length, 1.0)
        return problem.clip(problem.images + share * way)


@frozen
class BinarySearchContrastReductionAttack(Flexible):
    """The least contrast reduction that fools, by bisection.

    Like foolbox's, it takes for granted that an even gray fools.

    Attributes:
        binary_search_steps: images shown to the model.
        target: the gray, from 0 (lower bound) to 1 (upper bound).
    """

    binary_search_steps: int = 15
    target: float = 0.5

    def start(self, problem, rows):
        del rows
        way = _toward_gray(problem, self.target)

        def halve(lower, upper, share):
            scores = problem.scores(problem.images + share * way)
            fooled = problem.is_adversarial(scores)[:, None]
            lower = tf.where(fooled, lower, share)
            upper = tf.where(fooled, share, upper)
            return lower, upper, (lower + upper) / 2

        zero = tf.zeros((problem.batch, 1))
        # The first share is 0: a misclassified image stays as it is.
        _, upper, _ = tf.while_loop(
            lambda *state: True,
            halve,
            (zero, zero + 1.0, zero),
            maximum_iterations=self.binary_search_steps,
        )
        return done(problem, problem.images + upper * way)


@frozen
class LinearSearchContrastReductionAttack(LinearSearch):
    """The least contrast reduction that fools, step by step.

    Attributes:
        target: the gray, from 0 (lower bound) to 1 (upper bound).
    """

    target: float = 0.5

    @property
    def length(self):
        return self.steps

    def path(self, problem, state, positions):
        del state
        shares = tf.cast(positions, tf.float32)[..., None] / self.steps
        way = _toward_gray(problem, self.target)
        return problem.images[:, None] + shares * way[:, None]

    def otherwise(self, problem):
        return problem.images + _toward_gray(problem, self.target)
