"""Random numbers of many rows at once, told apart by counting.

TensorFlow's stateless generators take one seed at a time; an attack that draws
in every step would spend most of its time in a loop over the rows. Here a draw
is a few elementwise operations, and rows may count their draws by themselves.

Source: Steele et al., "Fast splittable pseudorandom number generators" (2014).
"""

import math

import numpy as np
import tensorflow as tf

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
# Far apart from each other are multiples of it, modulo 2**32.
_ODD = np.int32(0x3C6EF35F)


def _mix(words):
    for shift, factor in (
        (30, np.uint64(0xBF58476D1CE4E5B9)),
        (27, np.uint64(0x94D049BB133111EB)),
    ):
        words = factor * tf.bitwise.bitwise_xor(words, _shift(words, shift))
    return tf.bitwise.bitwise_xor(words, _shift(words, 31))


def _shift(words, bits):
    return tf.bitwise.right_shift(words, tf.constant(bits, tf.uint64))


def _word(numbers):
    return tf.bitcast(tf.cast(numbers, tf.int64), tf.uint64)


def words(keys, count):
    """The first numbers of the generators of uint64 keys, `(..., count)`."""
    counts = _word(tf.range(1, count + 1))
    return _mix(keys[..., None] + _GOLDEN * counts)


def fold_in(keys, numbers):
    """A new key for each of some keys and its number."""
    return _mix(keys + _GOLDEN * (_word(numbers) + np.uint64(1)))


def seeds_within(seeds, epsilon):
    """Seeds of what is drawn anew for every epsilon.

    Args:
        seeds: int32 `(batch, 2)`.
        epsilon: float32 `(batch, 1)`, as a share of the pixels' range.
    """
    first, second = tf.unstack(seeds, axis=1)
    budget = tf.bitcast(epsilon[:, 0], tf.int32)
    return tf.stack([first, tf.bitwise.bitwise_xor(second, budget)], 1)


def seeds_of_turn(seeds, turn):
    """Seeds of what is drawn anew in every turn: int32 `(batch, 2)`.

    Args:
        seeds: int32 `(batch, 2)`.
        turn: int32 `(batch,)`; the first one, 0, leaves them as they are.
    """
    first, second = tf.unstack(seeds, axis=1)
    return tf.stack([first, second + turn * _ODD], 1)


def uniform(seeds, count, *numbers):
    """Uniform numbers within (0, 1).

    Args:
        seeds: int32 `(batch, 2)`.
        count: int, how many to draw.
        numbers: tell the draws of a row apart, ints or int tensors `()` or
            `(batch,)`; from one on of `(batch, k)` there are `k` draws a row.

    Returns:
        float32 `(batch, count)` or `(batch, k, count)`.
    """
    keys = fold_in(_word(seeds[:, 0]), seeds[:, 1])
    for each in numbers:
        each = tf.convert_to_tensor(each)
        if each.shape.rank > keys.shape.rank:
            keys = keys[:, None]
        keys = fold_in(keys, each)
    # As many bits as a float32 can tell apart about the middle of (0, 1).
    bits = tf.cast(_shift(words(keys, count), 41), tf.float32)
    return (bits + 0.5) * 2.0**-23


def symmetric(seeds, count, *numbers):
    """Uniform numbers within (-1, 1); see `uniform`."""
    return 2.0 * uniform(seeds, count, *numbers) - 1.0


def normal(seeds, count, *numbers):
    """Standard normal numbers; see `uniform`."""
    centered = symmetric(seeds, count, *numbers)
    return math.sqrt(2.0) * tf.math.erfinv(centered)
