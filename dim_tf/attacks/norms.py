"""One table of norms: sizes, steps, projections and random starts.

Perturbations are float32 `(batch, pixels)`; an epsilon is a scalar or
`(batch, 1)`. Every function treats each row by itself.
"""

import dataclasses
from collections.abc import Callable

import foolbox
import numpy as np
import tensorflow as tf

from dim_tf.attacks import splitmix

# Smallest norm that is divided by, as in foolbox.
FLOOR = 1e-12
# Of a float32: the smallest that is not subnormal, and where its exponent is.
_TINY = np.finfo(np.float32).tiny
_EXPONENT_BITS = 0x7F800000
# A size may exceed an epsilon by so much, relatively: float32 sums are rough.
ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Norm:
    """What an attack needs to know of a norm.

    Attributes:
        distance: foolbox's name for it.
        size: perturbations -> sizes `(batch, 1)`.
        dual_size: gradients -> the most that a perturbation of unit size gains
            along them, `(batch, 1)`.
        direction: gradients -> directions of unit size, the way to step.
        project: (perturbations, epsilon) -> perturbations of at most epsilon.
        random_start: (seeds `(batch, 2)`, pixels) -> perturbations
            `(batch, pixels)`, uniform in the unit ball.
    """

    distance: foolbox.distances.LpDistance
    size: Callable
    dual_size: Callable
    direction: Callable
    project: Callable
    random_start: Callable

    def clip_perturbation(self, images, perturbed, epsilon):
        """Perturbed images moved to within epsilon of the images.

        One that is near enough stays what it is to the last bit, because a
        model that binarizes would see the difference.
        """
        change = perturbed - images
        near = self.size(change) <= epsilon * (1.0 + ROUNDING)
        moved = images + self.project(change, epsilon)
        return tf.where(near, perturbed, moved)


def l1_size(perturbations):
    return tf.reduce_sum(tf.abs(perturbations), -1, keepdims=True)


def l2_size(perturbations):
    # tf.norm has a NaN gradient at zero.
    return tf.sqrt(tf.reduce_sum(tf.square(perturbations), -1, keepdims=True))


def linf_size(perturbations):
    return tf.reduce_max(tf.abs(perturbations), -1, keepdims=True)


def l0_size(perturbations):
    changed = tf.cast(tf.abs(perturbations) > 0, tf.float32)
    return tf.reduce_sum(changed, -1, keepdims=True)


def _normalize(size):
    def direction(gradients):
        # Or steps along tiny gradients, like foolbox's, would fall short.
        scaled = gradients / _power_of_two(linf_size(gradients))
        # What has an entry of 1 or more is no smaller itself. XLA multiplies
        # the two divisors: a smaller one would make zeros no numbers.
        return scaled / tf.maximum(size(scaled), 1.0)

    return direction


def _power_of_two(values):
    """The largest one not above a value, 2**-126 at least: exact to divide by.

    Args:
        values: float32 `(batch, 1)`, not negative.
    """
    bits = tf.bitcast(values, tf.int32)
    exponents = tf.bitwise.bitwise_and(bits, _EXPONENT_BITS)
    return tf.maximum(tf.bitcast(exponents, tf.float32), _TINY)


def _rescale(size):
    def project(perturbations, epsilon):
        sizes = tf.maximum(size(perturbations), FLOOR)
        return perturbations * tf.minimum(1.0, epsilon / sizes)

    return project


def _l1_random_start(seeds, pixels):
    # The gaps of sorted uniforms are uniform on the simplex's interior.
    edges = tf.sort(splitmix.uniform(seeds, pixels, 0))
    edges = tf.pad(edges, [[0, 0], [1, 0]])
    coins = splitmix.uniform(seeds, pixels, 1)
    return (edges[:, 1:] - edges[:, :-1]) * tf.sign(coins - 0.5)


def _l2_random_start(seeds, pixels):
    # A uniform point of the n-ball is the first n of n + 2 normals that were
    # scaled to the unit sphere.
    normals = splitmix.normal(seeds, pixels + 2)
    return normals[:, :pixels] / l2_size(normals)


def _l0_project(perturbations, epsilon):
    # Which of its pixels a perturbation can do without is not for us to say.
    return tf.where(l0_size(perturbations) <= epsilon, perturbations, 0.0)


def _no_l0(*arguments):
    raise ValueError("no attack of this kind exists for the L0 norm")


NORMS = {
    # Dropped as a whole where it is too large.
    "l0": Norm(
        foolbox.distances.l0, l0_size, _no_l0, _no_l0, _l0_project, _no_l0
    ),
    # Radially, like foolbox, and not onto the closest point of the L1 ball.
    "l1": Norm(
        foolbox.distances.l1,
        l1_size,
        linf_size,
        _normalize(l1_size),
        _rescale(l1_size),
        _l1_random_start,
    ),
    "l2": Norm(
        foolbox.distances.l2,
        l2_size,
        l2_size,
        _normalize(l2_size),
        _rescale(l2_size),
        _l2_random_start,
    ),
    "linf": Norm(
        foolbox.distances.linf,
        linf_size,
        l1_size,
        tf.sign,
        lambda perturbations, epsilon: tf.clip_by_value(
            perturbations, -epsilon, epsilon
        ),
        splitmix.symmetric,
    ),
}
