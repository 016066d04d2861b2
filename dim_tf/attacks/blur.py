"""Gaussian blur."""

import numpy as np
import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.flexible import LinearSearch

# Where SciPy's filter ends, in sigmas.
_TRUNCATE = 4.0


def blur_matrices(length: int, sigmas, largest: float):
    """The blur of a line of pixels for each sigma, as matrices.

    SciPy's filter (reflected edges, cut at four sigmas) is linear. A blurred
    image is `matrix @ image @ matrix.T`.

    Args:
        length: of the line.
        sigmas: float64 `(..., )`.
        largest: of the sigmas.

    Returns:
        float32 `(..., length, length)`.
    """
    # Reflected at both edges, a line repeats itself after twice its length.
    period = 2 * length
    turns = int(_TRUNCATE * largest + 0.5) // period + 1
    offsets = np.arange(-turns * period, (turns + 1) * period, dtype=np.float64)
    sigmas = sigmas[..., None]
    weights = tf.exp(-0.5 * (offsets / tf.maximum(sigmas, 1e-9)) ** 2)
    inside = np.abs(offsets) <= tf.floor(_TRUNCATE * sigmas + 0.5)
    weights = tf.where(inside, weights, 0.0)
    weights /= tf.reduce_sum(weights, -1, keepdims=True)
    shape = tf.concat([tf.shape(weights)[:-1], [2 * turns + 1, period]], 0)
    weights = tf.reduce_sum(tf.reshape(weights, shape), -2)
    to, of = np.mgrid[:length, :length]
    straight = tf.gather(weights, (of - to) % period, axis=-1)
    reflected = tf.gather(weights, (-1 - of - to) % period, axis=-1)
    return tf.cast(straight + reflected, tf.float32)


@frozen
class GaussianBlurAttack(LinearSearch):
    """The least blur that fools, in equal steps of the filter's width.

    Attributes:
        channel_axis: of a batch of images, 1 or 3; None: the last axis.
        max_sigma: of the last step; None: the larger side of the image.
    """

    channel_axis: int | None = None
    max_sigma: float | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.channel_axis not in (None, 1, 3, -1, -3):
            raise ValueError(
                f"channel_axis must be 1 or 3, got {self.channel_axis!r}"
            )
        if self.max_sigma is not None:
            checks.at_least("max_sigma", self.max_sigma, 0)

    def start(self, problem, rows):
        if len(problem.shape) != 3:
            raise ValueError(
                "GaussianBlurAttack needs images (batch, height, width, "
                f"channels), got (batch, {', '.join(map(str, problem.shape))})"
            )
        return super().start(problem, rows)

    def path(self, problem, state, positions):
        del state
        channels_first = self.channel_axis in (1, -3)
        # Channels aside, an image is a matrix.
        order = (0, 1, 2) if channels_first else (2, 0, 1)
        channels, height, width = (problem.shape[axis] for axis in order)
        images = tf.reshape(problem.images, (-1, *problem.shape))
        images = tf.transpose(images, (0, *(1 + axis for axis in order)))
        largest = self.max_sigma
        if largest is None:
            largest = max(height, width)
        # The path begins at the image itself.
        sigmas = largest * tf.cast(positions, tf.float64) / self.steps
        matrices = {
            side: blur_matrices(side, sigmas, largest)[:, :, None]
            for side in {height, width}
        }
        blurred = tf.matmul(
            tf.matmul(matrices[height], images[:, None]),
            matrices[width],
            transpose_b=True,
        )
        back = (0, 1, 2) if channels_first else (1, 2, 0)
        blurred = tf.transpose(blurred, (0, 1, *(2 + axis for axis in back)))
        count = tf.shape(positions)[1]
        shape = (-1, count, channels * height * width)
        return problem.clip(tf.reshape(blurred, shape))
