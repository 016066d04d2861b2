"""Closest points of the L1 ball, within the bounds or regardless of them."""

import tensorflow as tf

from dim_tf.attacks.graphs import least_enough
from dim_tf.attacks.norms import ROUNDING
from dim_tf.attacks.norms import l1_size

# Of the largest entry: what is left of it is what float32 can tell apart.
_HALVINGS = 30


def project(perturbations, epsilon):
    """The closest point of the ball, by sorting (Duchi et al., 2008).

    Args:
        perturbations: float32 `(batch, pixels)`.
        epsilon: scalar or `(batch, 1)`.
    """
    ordered, shifts = _shifts(perturbations, epsilon)
    # The last shift that keeps its own entry positive.
    kept = tf.reduce_sum(tf.cast(ordered > shifts, tf.int32), 1)
    shift = tf.gather(shifts, tf.maximum(kept - 1, 0), batch_dims=1)[:, None]
    return _shrink(perturbations, tf.maximum(shift, 0.0))


def project_like_foolbox(perturbations, epsilon):
    """One entry too far, and the first where no entry is too small."""
    ordered, shifts = _shifts(perturbations, epsilon)
    first = tf.argmax(ordered <= shifts, 1)
    shift = tf.gather(shifts, first, batch_dims=1)[:, None]
    inside = l1_size(perturbations) <= epsilon
    return tf.where(inside, perturbations, _shrink(perturbations, shift))


def _shifts(perturbations, epsilon):
    """Sizes of the entries in falling order, and what to take from the first
    one, two, ... of them to bring them alone to epsilon."""
    ordered = tf.sort(tf.abs(perturbations), 1, "DESCENDING")
    counts = tf.range(1.0, ordered.shape[1] + 1.0)
    return ordered, (tf.cumsum(ordered, 1) - epsilon) / counts


def _shrink(perturbations, shift):
    sizes = tf.abs(perturbations)
    return tf.sign(perturbations) * tf.maximum(sizes - shift, 0.0)


def restrict(problem, flat, epsilon):
    """The closest images within both the ball about the images and the bounds.

    Every pixel's change is shortened by as much as any other's, and to what the
    bounds allow: by how much, is found by halving.

    Source: Croce and Hein, "Mind the box: l1-APGD for sparse adversarial
    attacks on image classifiers" (2021), who sort. What is near enough is
    clipped alone.

    Args:
        problem: `Problem`.
        flat: float32 `(batch, ..., pixels)`.
        epsilon: scalar, or of as many axes, `(batch, ..., 1)`.

    Returns:
        float32 `(batch, ..., pixels)`.
    """
    images = problem.images
    if flat.shape.rank == 3:
        images = images[:, None]
    lower, upper = problem.bounds
    change = flat - images
    sizes = tf.abs(change)
    rooms = tf.where(change > 0, upper - images, images - lower)
    epsilon = epsilon * (1.0 - ROUNDING)

    def shortened(shift):
        return tf.clip_by_value(sizes - shift, 0.0, rooms)

    def near(shift):
        return l1_size(shortened(shift)) <= epsilon

    largest = tf.reduce_max(sizes, -1, keepdims=True)
    shift = least_enough(near, largest, _HALVINGS)
    moved = images + tf.sign(change) * shortened(shift)
    # To the last bit, because a model that binarizes would see the difference.
    as_it_is = near(tf.zeros_like(shift))
    return problem.clip(tf.where(as_it_is, flat, moved))
