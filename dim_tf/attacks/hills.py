"""Squares with hills in them, for norms in which pixels share epsilon.

Source: Andriushchenko et al., "Square attack: a query-efficient black-box
adversarial attack via random search" (2020); in L1 Croce and Hein, "Mind the
box: l1-APGD for sparse adversarial attacks on image classifiers" (2021).
"""

import abc
from typing import ClassVar

import numpy as np
import tensorflow as tf

from dim_tf.attacks import l1_ball
from dim_tf.attacks.norms import FLOOR
from dim_tf.attacks.norms import l2_size
from dim_tf.attacks.squares import Squares

# Tiles to a side of the image in the first pattern.
_TILES = 5


class Hills(Squares):
    """A pattern takes over the room that two squares have in epsilon."""

    least = 3
    # Of the norm, and by which hills fall off.
    exponent: ClassVar[int]
    decay: ClassVar[int]

    def __init__(self, problem, epsilon, area):
        super().__init__(problem, epsilon, area)
        largest = max(self.sides)
        self.patterns = np.stack(
            [
                np.pad(self.two_hills(side), [(0, largest - side)] * 2)
                for side in self.sides
            ]
        )

    def two_hills(self, side):
        return two_hills(side, self.exponent, self.decay)

    def power(self, values):
        """Sizes over height and width, to the power of the exponent."""
        powers = tf.abs(values) ** self.exponent
        return tf.reduce_sum(powers, (-3, -2), keepdims=True)

    def root(self, power):
        return power ** (1.0 / self.exponent)

    @abc.abstractmethod
    def room(self, unused, both):
        """The power that a square takes over in each channel.

        Args:
            unused: `(batch, k, 1, 1, 1)`, what the image has left.
            both: `(batch, k, 1, 1, channels)`, that of two squares.
        """

    @abc.abstractmethod
    def moved(self, images, change, epsilon):
        """Images that are changed."""

    def apply(self, change):
        """Images changed by `(batch, ..., pixels)`, within epsilon."""
        images, epsilon = self.problem.images, self.epsilon
        if change.shape.rank == 3:
            images, epsilon = images[:, None], epsilon[:, None]
        return self.moved(images, change, epsilon)

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
            for each in (self.two_hills(side), self.two_hills(side).T)
        )
        tiles = tf.where(draws[..., -1] < 0.5, upright, lying)
        tiles = self.signs(draws[..., :-1]) * tiles[..., None]
        missing = [
            (size - count * side)
            for size, count in ((self.height, rows), (self.width, columns))
        ]
        around = [(each // 2, each - each // 2) for each in missing]
        return self.apply(
            self.problem.range
            * self.flatten(tf.pad(tiles, [(0, 0), *around, (0, 0)]))
        )

    def proposals(self, flat, queries, level):
        side = tf.gather(self.sides, level)
        draws = self.uniform(5 + self.channels, 1, queries)
        corner = self.corner(draws, side)
        filled = self.inside(corner, side)
        emptied = self.inside(self.corner(draws[..., 2:], side), side)
        change = self.unflatten(flat - self.problem.images)[:, None]

        def within(mask, values):
            return tf.where(mask, values, 0.0)

        total = tf.reduce_sum(self.power(change), -1, keepdims=True)
        both = self.power(within(filled | emptied, change))
        unused = tf.maximum(
            self.epsilon[..., None, None, None] ** self.exponent - total, 0.0
        )
        room = self.room(unused, both)
        old = within(filled, change)
        old /= FLOOR + self.root(self.power(old))
        signs = self.signs(draws[..., 5:])[..., None, None, :]
        hills = self._placed(corner, level, draws[..., 4])
        new = within(filled, signs * hills) + old
        new *= self.root(room) / (FLOOR + self.root(self.power(new)))
        rest = within(~(filled | emptied), change)
        return self.apply(self.flatten(tf.where(filled, new, rest)))

    def _placed(self, corner, level, coin):
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


class L1Hills(Hills):
    """Moved to the nearest point of the ball, which has fewer pixels.

    Of several channels each takes as much as is there for all, like that of the
    authors.
    """

    exponent = 1
    decay = 4

    def room(self, unused, both):
        return unused + self.channels * both

    def moved(self, images, change, epsilon):
        return l1_ball.restrict(self.problem, images + change, epsilon)


class L2Hills(Hills):
    """Scaled to all of epsilon."""

    exponent = 2
    decay = 2

    def room(self, unused, both):
        return unused / self.channels + both

    def moved(self, images, change, epsilon):
        scale = epsilon / tf.maximum(l2_size(change), FLOOR)
        return self.problem.clip(images + scale * change)


def two_hills(side: int, exponent: int, decay: int) -> np.ndarray:
    """Two hills, one up and one down, of size 1 together: `(side, side)`."""
    if side == 1:
        return np.ones((1, 1), np.float32)

    def hill(height):
        """Rectangles about the middle, each larger and lower than the last."""
        values = np.zeros((height, side))
        top, left = height // 2, side // 2
        for index in range(max(top, left) + 1):
            rows = slice(max(top - index, 0), top + index + 1)
            columns = slice(max(left - index, 0), left + index + 1)
            values[rows, columns] += 1.0 / (index + 1) ** decay
        return values / np.linalg.norm(values.ravel(), exponent)

    upper, lower = hill(side // 2), hill(side - side // 2)
    hills = np.concatenate([upper, -lower])
    return (hills / np.linalg.norm(hills.ravel(), exponent)).astype(np.float32)
