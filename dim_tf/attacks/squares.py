"""Where random squares lie in an image, and what is in them.

Source: Andriushchenko et al., "Square attack: a query-efficient black-box
adversarial attack via random search" (2020).
"""

import abc
import math

import numpy as np
import tensorflow as tf

from dim_tf.attacks import splitmix
from dim_tf.attacks.norms import FLOOR
from dim_tf.attacks.norms import l2_size

# Of ten thousand queries, those from which on a square has half the area that
# it had before.
_HALVINGS = (11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)
# Tiles to a side of the image in the first pattern of L2.
_TILES = 5


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


class L2Squares(Squares):
    least = 3

    def __init__(self, problem, epsilon, area):
        super().__init__(problem, epsilon, area)
        largest = max(self.sides)
        self.patterns = np.stack(
            [
                np.pad(pattern(side), [(0, largest - side)] * 2)
                for side in self.sides
            ]
        )

    def side(self, length):
        side = super().side(length)
        # Its two halves are to differ, like those of the authors.
        return (
            side + 1
            if side % 2 == 0 and side < min(self.height, self.width)
            else side
        )

    def first(self):
        side = max(1, min(self.height, self.width) // _TILES)
        rows, columns = self.height // side, self.width // side
        # Of every tile, the signs of its channels and whether it lies.
        draws = self.uniform(rows * columns * (self.channels + 1))
        draws = tf.reshape(draws, (-1, rows, columns, self.channels + 1))
        draws = tf.repeat(tf.repeat(draws, side, 1), side, 2)
        upright, lying = (
            np.tile(each, (rows, columns))
            for each in (pattern(side), pattern(side).T)
        )
        tiles = tf.where(draws[..., -1] < 0.5, upright, lying)
        tiles = self.signs(draws[..., :-1]) * tiles[..., None]
        missing = [
            (size - count * side)
            for size, count in ((self.height, rows), (self.width, columns))
        ]
        around = [(each // 2, each - each // 2) for each in missing]
        return self._of_size(
            self.flatten(tf.pad(tiles, [(0, 0), *around, (0, 0)]))
        )

    def _of_size(self, change):
        """Images changed by `(batch, ..., pixels)`, scaled to epsilon."""
        images, epsilon = self.problem.images, self.epsilon
        if change.shape.rank == 3:
            images, epsilon = images[:, None], epsilon[:, None]
        scale = epsilon / tf.maximum(l2_size(change), FLOOR)
        return self.problem.clip(images + scale * change)

    def proposals(self, flat, queries, level):
        side = tf.gather(self.sides, level)
        draws = self.uniform(5 + self.channels, 1, queries)
        corner = self.corner(draws, side)
        filled = self.inside(corner, side)
        emptied = self.inside(self.corner(draws[..., 2:], side), side)
        change = self.unflatten(flat - self.problem.images)[:, None]

        def power(values):
            return tf.reduce_sum(tf.square(values), (-3, -2), keepdims=True)

        def within(mask, values):
            return tf.where(mask, values, 0.0)

        total = tf.reduce_sum(power(change), -1, keepdims=True)
        both = power(within(filled | emptied, change))
        unused = tf.maximum(
            tf.square(self.epsilon)[..., None, None, None] - total, 0.0
        )
        room = unused / self.channels + both
        old = within(filled, change)
        old /= FLOOR + tf.sqrt(power(old))
        signs = self.signs(draws[..., 5:])[..., None, None, :]
        hills = self._pattern(corner, level, draws[..., 4])
        new = within(filled, signs * hills) + old
        new *= tf.sqrt(room) / (FLOOR + tf.sqrt(power(new)))
        rest = within(~(filled | emptied), change)
        return self._of_size(self.flatten(tf.where(filled, new, rest)))

    def _pattern(self, corner, level, coin):
        """Patterns at corners, upright or lying: `(batch, k, h, w, 1)`.

        Anything may be where their squares are not.
        """
        patterns = tf.gather(tf.constant(self.patterns), level)
        lying = tf.linalg.matrix_transpose(patterns)
        patterns = tf.where(coin[..., None, None] < 0.5, patterns, lying)
        last = self.patterns.shape[-1] - 1
        rows, columns = (
            tf.clip_by_value(each, 0, last) for each in self.offsets(corner)
        )
        patterns = tf.gather(patterns, rows, axis=2, batch_dims=2)
        patterns = tf.gather(patterns, columns, axis=3, batch_dims=2)
        return patterns[..., None]


def pattern(side: int) -> np.ndarray:
    """Two hills, one up and one down, of size 1 together: `(side, side)`."""
    if side == 1:
        return np.ones((1, 1), np.float32)
    upper = _hill(side // 2, side)
    hills = np.concatenate([upper, -_hill(side - side // 2, side)])
    return (hills / np.linalg.norm(hills)).astype(np.float32)


def _hill(height: int, width: int) -> np.ndarray:
    """Rectangles about the middle, each larger and lower than the last."""
    hill = np.zeros((height, width))
    top, left = height // 2, width // 2
    for index in range(max(top, left) + 1):
        rows = slice(max(top - index, 0), min(top + index + 1, height))
        columns = slice(max(left - index, 0), min(left + index + 1, width))
        hill[rows, columns] += 1.0 / (index + 1) ** 2
    return hill / np.linalg.norm(hill)


KINDS = {"l2": L2Squares, "linf": LinfSquares}
