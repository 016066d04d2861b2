"""Moving pixels for a total gain, at the least cost in a norm.

A pixel gains by its weight times its move, and has room for a largest move:

    moves = MOVES[norm](weights, rooms, amount)

are the moves of the smallest norm that gain the amount together. All are at
least zero; weights, rooms and moves are float32 `(batch, pixels)`, the amount
is `(batch, 1)` and at most what all can gain. A row whose amount is zero costs
nothing.
"""

from collections.abc import Callable

import tensorflow as tf

# Newton's method ends after three or four trips, bisection after a dozen.
_TRIPS = 30
_PRECISION = 1e-6
_TINY = 1e-12


def total(values):
    """Sums of the rows, `(batch, 1)`."""
    return tf.reduce_sum(values, 1, keepdims=True)


def water_level(rates, capacities, amount):
    """The level where `total(min(level * rates, capacities))` is the amount.

    By Newton's method, which never passes the root of a concave function when
    it comes from below.
    """

    def lacking(level):
        held = level * rates
        free = held < capacities
        lack = amount - total(tf.where(free, held, capacities))
        slope = total(tf.where(free, rates, 0.0))
        # A row that is done must not go on while others do.
        done = (lack <= _PRECISION * amount) | (slope <= _TINY)
        return tf.where(done, 0.0, lack), slope

    def rise(level, lack, slope):
        level += lack / tf.maximum(slope, _TINY)
        return level, *lacking(level)

    level = tf.zeros_like(amount)
    return tf.while_loop(
        lambda level, lack, slope: tf.reduce_any(lack > 0),
        rise,
        (level, *lacking(level)),
        maximum_iterations=_TRIPS,
    )[0]


def _fractions(priorities, gains, amount):
    """Which share of its gain each pixel gives to an amount, by priority.

    Pixels of high priority give all, one pixel gives a part, the others none.
    The threshold is found by bisection, since sorting costs far more.
    """

    def halve(low, high, above_low, above_high):
        middle = (low + high) / 2.0
        above = priorities > middle
        enough = total(tf.where(above, gains, 0.0)) > amount
        count = total(tf.cast(above, tf.float32))
        return (
            tf.where(enough, middle, low),
            tf.where(enough, high, middle),
            tf.where(enough, count, above_low),
            tf.where(enough, above_high, count),
        )

    high = tf.reduce_max(priorities, 1, keepdims=True)
    none = tf.zeros_like(amount)
    all_pixels = tf.fill(tf.shape(amount), float(priorities.shape[1]))
    low, high, *_ = tf.while_loop(
        lambda low, high, above_low, above_high: tf.reduce_any(
            above_low - above_high > 1.0
        ),
        halve,
        (none, high, tf.where(amount > 0, all_pixels, 0.0), none),
        maximum_iterations=_TRIPS,
    )
    whole = priorities > high
    partly = (priorities > low) & ~whole
    left = amount - total(tf.where(whole, gains, 0.0))
    share = left / tf.maximum(total(tf.where(partly, gains, 0.0)), _TINY)
    share = tf.where(partly, tf.clip_by_value(share, 0.0, 1.0), 0.0)
    return tf.where(whole, 1.0, share)


def _l0(weights, rooms, amount):
    gains = weights * rooms
    # Ties would share what one of them can do alone. The last of 150,000 pixels
    # is held to be 4 % less worth by it, as float32 tells no closer ones apart.
    rank = tf.range(gains.shape[1], dtype=tf.float32)
    return rooms * _fractions(gains * (1.0 - 2**-22 * rank), gains, amount)


def _l1(weights, rooms, amount):
    return rooms * _fractions(weights, weights * rooms, amount)


def _l2(weights, rooms, amount):
    level = water_level(weights**2, weights * rooms, amount)
    return tf.minimum(level * weights, rooms)


def _linf(weights, rooms, amount):
    return tf.minimum(water_level(weights, weights * rooms, amount), rooms)


MOVES: dict[str, Callable] = {"l0": _l0, "l1": _l1, "l2": _l2, "linf": _linf}
