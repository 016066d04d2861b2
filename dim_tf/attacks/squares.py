"""Where random squares lie in an image, and what is in them.

Source: Andriushchenko et al., "Square attack: a query-efficient black-box
adversarial attack via random search" (2020).
"""

import abc
import math

import numpy as np
import tensorflow as tf

from dim_tf.attacks import splitmix

# Of ten thousand queries, those from which on a square has half the area that
# it had before.
_HALVINGS = (11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)


def levels(queries: int) -> np.ndarray:
    """How often the squares' area was halved, for every query."""
    scaled = np.arange(queries) * 10000 // queries
    return np.searchsorted(_HALVINGS, scaled, "right").astype(np.int32)


class Squares(abc.ABC):
    """What the norms have in common: squares, and where they are.

    Args:
        problem: `Problem`.
        epsilon: float32 `(batch, 1)`.
        area: share of the image that the first squares have.
    """

    least: int  # pixels of a side

    def __init__(self, problem, epsilon, area):
        self.problem, self.epsilon = problem, epsilon
        self.seeds = problem.seeds_within(epsilon)
        self.height, self.width, self.channels = problem.shape
        first = area * self.height * self.width
        self.sides = [
            self.side(math.sqrt(first / 2**level))
            for level in range(len(_HALVINGS) + 1)
        ]

    @abc.abstractmethod
    def first(self):
        """What is asked for first: images `(batch, pixels)`."""

    @abc.abstractmethod
    def proposals(self, flat, queries, level):
        """What else could be kept: images `(batch, k, pixels)`.

        Args:
            flat: float32 `(batch, pixels)`, what was kept last.
            queries: int32 `(batch, k)`, their numbers.
            level: int32 `(batch, k)`, how often their areas were halved.
        """

    def side(self, length: float) -> int:
        """The side of a square that is to be so long."""
        return min(max(round(length), self.least), self.height, self.width)

    def uniform(self, count, *numbers):
        """Uniform numbers `(batch, ..., count)` within (0, 1)."""
        return splitmix.uniform(self.seeds, count, *numbers)

    def signs(self, uniform):
        return tf.where(uniform < 0.5, -1.0, 1.0)

    def corner(self, uniform, side):
        """Where squares begin, int32 `(batch, k)` twice, of any places."""
        rows, columns = (
            tf.cast(
                uniform[..., axis] * tf.cast(length - side + 1, tf.float32),
                tf.int32,
            )
            for axis, length in enumerate((self.height, self.width))
        )
        return rows, columns

    def offsets(self, corner):
        """Rows and columns of pixels within squares, from their corners.

        Returns:
            int32 `(batch, k, height)` and `(batch, k, width)`; those outside
            are negative, or no smaller than the side.
        """
        rows, columns = corner
        return (
            tf.range(self.height) - rows[..., None],
            tf.range(self.width) - columns[..., None],
        )

    def inside(self, corner, side):
        """Which pixels are within squares: bool `(batch, k, h, w, 1)`."""
        rows, columns = (
            (offsets >= 0) & (offsets < side[..., None])
            for offsets in self.offsets(corner)
        )
        return (rows[..., :, None] & columns[..., None, :])[..., None]

    def unflatten(self, flat):
        """`(..., pixels)` -> `(..., height, width, channels)`."""
        leading = tf.shape(flat)[:-1]
        return tf.reshape(flat, tf.concat([leading, self.problem.shape], 0))

    def flatten(self, images):
        leading = tf.shape(images)[:-3]
        shape = tf.concat([leading, [self.problem.pixels]], 0)
        return tf.ensure_shape(
            tf.reshape(images, shape),
            (*images.shape[:-3], self.problem.pixels),
        )


class LinfSquares(Squares):
    least = 1

    def first(self):
        stripes = self.signs(self.uniform(self.width * self.channels))
        stripes = tf.reshape(stripes, (-1, 1, self.width, self.channels))
        change = tf.broadcast_to(
            stripes, (self.problem.batch, *self.problem.shape)
        )
        return self.problem.clip(
            self.problem.images + self.epsilon * self.flatten(change)
        )

    def proposals(self, flat, queries, level):
        side = tf.gather(self.sides, level)
        draws = self.uniform(2 + self.channels, 1, queries)
        inside = self.inside(self.corner(draws, side), side)
        signs = self.signs(draws[..., 2:])[..., None, None, :]
        whole = self.epsilon[:, None] * self.flatten(
            tf.where(inside, signs, 0.0)
        )
        images, before = self.problem.images[:, None], flat[:, None]

        def moved(change):
            tried = self.problem.clip(images + change)
            return tf.where(change != 0.0, tried, before)

        tried = moved(whole)
        # Where it is so already, the other way, or most small ones were lost.
        same = tf.reduce_all(tried == before, -1, keepdims=True)
        return tf.where(same, moved(-whole), tried)
