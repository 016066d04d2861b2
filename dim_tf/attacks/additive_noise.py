"""Additive noise of a given size: plain, clipping-aware, repeated.

Sources: foolbox; for the clipping-aware scaling, Rauber and Bethge, "Fast
differentiable clipping-aware normalization and rescaling" (2020). As with
foolbox, every attack and every epsilon has draws of its own: trying several is
worth as much.
"""

import zlib
from collections.abc import Callable
from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks import speculation
from dim_tf.attacks import splitmix
from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.norms import FLOOR
from dim_tf.attacks.norms import NORMS

# More than the pieces that Newton's method meets.
_NEWTON_STEPS = 15


def normalized(norm):
    """Scaling to the epsilon before the image is clipped to its bounds."""

    def scale(problem, draws, epsilon):
        del problem
        return epsilon * draws / tf.maximum(NORMS[norm].size(draws), FLOOR)

    return scale


def clipping_aware(problem, draws, epsilon):
    """Scaling of noise so that epsilon is its L2 size after clipping.

    Every pixel follows the noise until it meets its bound, so that the squared
    size is a concave, piecewise linear function of the squared scale: Newton's
    method meets any value from below, after a few pieces. Where even the whole
    room is less than epsilon, all of it is used.

    Args:
        problem: gives the images and bounds.
        draws: of noise, float32 `(batch, k, pixels)`.
        epsilon: float32 `(batch, 1, 1)`.
    """
    lower, upper = problem.bounds
    images = problem.images[:, None]
    room = tf.square(tf.where(draws >= 0, upper - images, images - lower))
    power = tf.square(draws)

    def approach(square):
        size = tf.minimum(square * power, room)
        moving = tf.where(square * power < room, power, 0.0)
        missing = tf.square(epsilon) - _total(size)
        return square + tf.maximum(missing, 0.0) / (_total(moving) + FLOOR)

    square = tf.while_loop(
        lambda square: True,
        lambda square: [approach(square)],
        [tf.zeros_like(draws[..., :1])],
        maximum_iterations=_NEWTON_STEPS,
    )[0]
    return tf.sqrt(square) * draws


def _total(values):
    return tf.reduce_sum(values, -1, keepdims=True)


@frozen
class AdditiveNoise(FixedEpsilon):
    """One draw of noise, whatever the model says to it."""

    draw: ClassVar[Callable]
    scale: ClassVar[Callable]

    def perturbed(self, problem, epsilon, numbers):
        """Images with the draws of these numbers: `(batch, k, pixels)`."""
        seeds = problem.seeds_within(epsilon)
        kind = zlib.crc32(type(self).__name__.encode()) >> 1  # of 31 bits
        draws = type(self).draw(seeds, problem.pixels, kind, numbers)
        change = type(self).scale(problem, draws, epsilon[:, None])
        return problem.clip(problem.images[:, None] + change)

    def perturb(self, problem, epsilon, prepared):
        del prepared
        return self.perturbed(problem, epsilon, tf.zeros((1, 1), tf.int32))[
            :, 0
        ]


@frozen
class RepeatedAdditiveNoise(AdditiveNoise):
    """The first draw of noise that fools the model, or the image itself.

    Attributes:
        repeats: draws at most.
        check_trivial: whether misclassified images stay as they are.
    """

    repeats: int = 100
    check_trivial: bool = True

    def perturb(self, problem, epsilon, prepared):
        del prepared
        found = tf.zeros((problem.batch,), tf.bool)
        if self.check_trivial:
            found = problem.fooled_by(problem.images)
        return speculation.first_of(
            problem,
            self.repeats,
            lambda numbers: self.perturbed(problem, epsilon, numbers[None]),
            found,
            problem.images,
        )


class L2AdditiveGaussianNoiseAttack(AdditiveNoise):
    """Gaussian noise of L2 size epsilon before clipping."""

    norm, draw, scale = "l2", splitmix.normal, normalized("l2")


class L2AdditiveUniformNoiseAttack(AdditiveNoise):
    """Uniform noise of L2 size epsilon before clipping."""

    norm, draw, scale = "l2", splitmix.symmetric, normalized("l2")


class L2ClippingAwareAdditiveGaussianNoiseAttack(AdditiveNoise):
    """Gaussian noise of L2 size epsilon after clipping."""

    norm, draw, scale = "l2", splitmix.normal, clipping_aware


class L2ClippingAwareAdditiveUniformNoiseAttack(AdditiveNoise):
    """Uniform noise of L2 size epsilon after clipping."""

    norm, draw, scale = "l2", splitmix.symmetric, clipping_aware


class LinfAdditiveUniformNoiseAttack(AdditiveNoise):
    """Uniform noise of Linf size epsilon before clipping."""

    norm, draw, scale = "linf", splitmix.symmetric, normalized("linf")


class L2RepeatedAdditiveGaussianNoiseAttack(RepeatedAdditiveNoise):
    """Gaussian noise of L2 size epsilon before clipping, again and again."""

    norm, draw, scale = "l2", splitmix.normal, normalized("l2")


class L2RepeatedAdditiveUniformNoiseAttack(RepeatedAdditiveNoise):
    """Uniform noise of L2 size epsilon before clipping, again and again."""

    norm, draw, scale = "l2", splitmix.symmetric, normalized("l2")


class L2ClippingAwareRepeatedAdditiveGaussianNoiseAttack(RepeatedAdditiveNoise):
    """Gaussian noise of L2 size epsilon after clipping, again and again."""

    norm, draw, scale = "l2", splitmix.normal, clipping_aware


class L2ClippingAwareRepeatedAdditiveUniformNoiseAttack(RepeatedAdditiveNoise):
    """Uniform noise of L2 size epsilon after clipping, again and again."""

    norm, draw, scale = "l2", splitmix.symmetric, clipping_aware


class LinfRepeatedAdditiveUniformNoiseAttack(RepeatedAdditiveNoise):
    """Uniform noise of Linf size epsilon before clipping, again and again."""

    norm, draw, scale = "linf", splitmix.symmetric, normalized("linf")
