"""Carlini and Wagner's attack, by Adam in a space without bounds."""

import math
from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.constant_search import ConstantSearch
from dim_tf.attacks.norms import l2_size

# Adam's, from its paper.
_FIRST_DECAY = 0.9
_SECOND_DECAY = 0.999
_ADAM_FLOOR = 1e-8
# Keeps what lies on the bounds from infinity.
_SHRINKAGE = 0.999999


@frozen
class L2CarliniWagnerAttack(ConstantSearch):
    """Adam on the perturbation's size and on what the margin lacks.

    Pixels are tanh of what is optimized, and so cannot leave the bounds.

    Source: Carlini and Wagner, "Towards evaluating the robustness of neural
    networks" (2017). How it differs from foolbox is said of the base.

    Attributes:
        stepsize: Adam's learning rate.
    """

    norm: ClassVar[str] = "l2"
    variables: ClassVar[tuple[str, ...]] = ("unbounded", "first", "second")
    stepsize: float = 0.01

    def begin(self, problem):
        centered = (problem.images - _middle(problem)) / (problem.range / 2)
        zeros = tf.zeros_like(centered)
        return {
            "unbounded": tf.atanh(_SHRINKAGE * centered),
            "first": zeros,
            "second": zeros,
        }

    def point(self, problem, variables):
        spread = problem.range / 2 * tf.tanh(variables["unbounded"])
        return _middle(problem) + spread

    def move(self, problem, variables, flat, gradients, step):
        lower, upper = problem.bounds
        # The derivative of tanh, in terms of its value.
        gradients *= (flat - lower) * (upper - flat) * (2 / problem.range)
        first = variables["first"]
        first += (1 - _FIRST_DECAY) * (gradients - first)
        second = variables["second"]
        second += (1 - _SECOND_DECAY) * (tf.square(gradients) - second)
        # Numbers of rows, not of pixels, undo the bias toward the zeros.
        length = self.stepsize / _weight(_FIRST_DECAY, step)
        scale = tf.math.rsqrt(_weight(_SECOND_DECAY, step))
        change = length * first / (scale * tf.sqrt(second) + _ADAM_FLOOR)
        return {
            "unbounded": variables["unbounded"] - change,
            "first": first,
            "second": second,
        }

    def candidates(self, problem, flat, scores, moved):
        return flat, scores

    def size(self, changes):
        return l2_size(changes)[:, 0]


def _middle(problem):
    return sum(problem.bounds) / 2


def _weight(decay, step):
    """What a running mean weighs in all after step, which counts from 0."""
    return -tf.math.expm1((step + 1.0) * math.log(decay))
