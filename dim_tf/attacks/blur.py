"""Gaussian blur."""

import numpy as np
import scipy.ndimage
import tensorflow as tf

from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.flexible import LinearSearch


def blur_matrices(length: int, sigmas) -> np.ndarray:
    """The blur of a line of pixels for each sigma, as matrices.

    SciPy's filter (reflected edges, cut at four sigmas) is linear, so that its
    matrix is what it makes of an identity. A blurred image is then
    `matrix @ image @ matrix.T`.

    Returns:
        float32 `(len(sigmas), length, length)`.
    """
    identity = np.eye(length, dtype=np.float64)
    return np.stack(
        [
            scipy.ndimage.gaussian_filter(identity, (sigma, 0.0))
            for sigma in sigmas
        ]
    ).astype(np.float32)


@frozen
class GaussianBlurAttack(LinearSearch):
    """The least blur that fools, in equal steps of the filter's width.

    Attributes:
        channel_axis: of a batch of images; None: the last axis.
        max_sigma: of the last step; None: the larger side of the image.
    """

    channel_axis: int | None = None
    max_sigma: float | None = None

    def start(self, problem, rows):
        if len(problem.shape) != 3:
            raise ValueError(
                "GaussianBlurAttack needs images (batch, height, width, "
                f"channels), got (batch, {', '.join(map(str, problem.shape))})"
            )
        return super().start(problem, rows)

    @property
    def length(self):
        return self.steps + 1

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
        sigmas = largest * np.arange(self.length) / self.steps
        rows, columns = (
            tf.gather(blur_matrices(side, sigmas), positions)[:, :, None]
            for side in (height, width)
        )
        blurred = tf.matmul(
            tf.matmul(rows, images[:, None]), columns, transpose_b=True
        )
        back = (0, 1, 2) if channels_first else (1, 2, 0)
        blurred = tf.transpose(blurred, (0, 1, *(2 + axis for axis in back)))
        count = tf.shape(positions)[1]
        shape = (-1, count, channels * height * width)
        return problem.clip(tf.reshape(blurred, shape))

    def otherwise(self, problem):
        return problem.images
