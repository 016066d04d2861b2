"""Steps along a decision boundary, as close to an image as it gets.

The boundary is taken for a plane. A step goes onto it, keeps every pixel
within its bounds, is no longer than a trust region's radius, and ends as
close to the image as possible: closest in L0, L1, L2 or Linf.

Without the radius this has a closed form in every norm: go home to the image,
then from there to the plane, moving the pixels that pay the most. Where that
step is too long, the pixels go part of the way home and then by the shortest
way onto the plane, for as large a part as the radius allows. If the plane is
out of reach, the step goes toward it.

Steps are float32 `(batch, pixels)`; every row is solved by itself.
"""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from dim_tf.attacks.moves import MOVES
from dim_tf.attacks.moves import total
from dim_tf.attacks.moves import water_level

# What is no farther away from the image counts as there, as in foolbox; of the
# range of pixels.
AT_HOME = 1e-4
# How often the part of the way home is halved, at most. In L0 a coarse part
# could be the same for ever.
_HALVINGS = {"l0": 14, "l1": 6, "l2": 4, "linf": 4}
_TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class Place:
    """What surrounds the current images, as seen from them.

    Attributes:
        home: the step to the original images, `(batch, pixels)`.
        lower, upper: the steps to the bounds, `(batch, pixels)`.
        normal: unit normals of the plane, or zeros, `(batch, pixels)`.
        slope: lengths of the gradients that these came from, `(batch, 1)`.
        gap: how far along the normal the plane is, signed, `(batch, 1)`.
        radius: of the trust region, `(batch, 1)`.
    """

    home: tf.Tensor
    lower: tf.Tensor
    upper: tf.Tensor
    normal: tf.Tensor
    slope: tf.Tensor
    gap: tf.Tensor
    radius: tf.Tensor


def best_step(norm: str, place: Place, toward_plane: str = "correct"):
    """The step that ends closest to the original images.

    Args:
        norm: "l0", "l1", "l2" or "linf".
        place: `Place`.
        toward_plane: the step where the plane is out of reach: "correct", or
            "foolbox" for that of foolbox 3.3.4, which is wrong where the gap
            is negative. There its solver mostly stays where it begins, with
            half of the gradient, in the opposite direction.
    """
    short, reachable = shortest_step(place)
    feasible = reachable & (_length(short) <= place.radius)
    blocked = _step_toward_plane(place, ~feasible)
    if toward_plane == "foolbox":
        away = _within_bounds(place, place.slope / 2.0 * place.normal)
        blocked = tf.where(place.gap < 0, away, blocked)
    ideal = _ideal_step(norm, place, feasible)
    within = _length(ideal) <= place.radius
    too_long = feasible & ~within
    limited = tf.cond(
        tf.reduce_any(too_long),
        lambda: _part_way(norm, place, short, ideal, too_long),
        lambda: short,
    )
    return tf.where(feasible, tf.where(within, ideal, limited), blocked)


def shortest_step(place: Place):
    """The shortest step onto the plane within the bounds.

    Returns:
        Steps; whether there is one, bool `(batch, 1)`.
    """
    push, reachable = _push(place)
    return _within_bounds(place, push), reachable


def _push(place):
    direction = _toward_plane(place)
    holds = tf.abs(place.normal * _corner(place, direction))
    amount = tf.abs(place.gap)
    reachable = total(holds) >= amount
    amount = tf.where(reachable, amount, 0.0)
    level = water_level(place.normal**2, holds, amount)
    return level * direction, reachable


def _step_toward_plane(place, wanted):
    """As far toward the plane as the radius and the bounds allow."""
    direction = _toward_plane(place)
    corner = _corner(place, direction)
    limited = wanted & (_length(corner) > place.radius)
    square = tf.where(limited, place.radius**2, 0.0)
    level = tf.sqrt(water_level(place.normal**2, corner**2, square))
    step = _within_bounds(place, level * direction)
    return tf.where(limited, step, corner)


def _ideal_step(norm, place, wanted):
    """The best step onto the plane if the radius were infinite."""
    gap = place.gap - total(place.normal * place.home)
    sides = tf.sign(gap) * tf.sign(place.normal)
    rooms = tf.abs(_corner(place, sides) - place.home)
    rooms = tf.where(sides == 0, 0.0, rooms)
    amount = tf.where(wanted, tf.abs(gap), 0.0)
    moves = MOVES[norm](tf.abs(place.normal), rooms, amount)
    return place.home + sides * moves


def _part_way(norm, place, short, ideal, wanted):
    """As much of the way home as the radius allows, then onto the plane."""
    first_push, _ = _push(place)

    def go(push, share):
        return _WAYS_HOME[norm](place, short, ideal, first_push, push, share)

    def attempt(going, inside, outside, push, share, low, high):
        start, lower, upper = go(push, share)
        gap = place.gap - total(place.normal * start)
        left = dataclasses.replace(
            place,
            lower=lower - start,
            upper=upper - start,
            gap=tf.where(going, gap, 0.0),
        )
        more, reachable = _push(left)
        step = start + _within_bounds(left, more)
        good = reachable & (_length(step) <= place.radius)
        # A row that is done must not go on while others do.
        inside = tf.where(going & good, step, inside)
        outside = tf.where(going & reachable & ~good, step, outside)
        push = tf.where(going & reachable, push + more, push)
        low = tf.where(going & good, share, low)
        high = tf.where(going & ~good, share, high)
        going &= tf.reduce_any(
            [
                tf.reduce_any(one != other, 1, keepdims=True)
                for one, other in zip(
                    go(push, low), go(push, high), strict=True
                )
            ],
            0,
        )
        return going, inside, outside, push, (low + high) / 2.0, low, high

    none = tf.zeros_like(place.gap)
    first = attempt(wanted, short, ideal, first_push, none, none, none + 1.0)
    _, inside, outside, *_ = tf.while_loop(
        lambda going, *_: tf.reduce_any(going),
        attempt,
        first,
        maximum_iterations=_HALVINGS[norm],
    )
    # Half of a pixel's way home is as good as none in L0.
    return inside if norm == "l0" else _dogleg(place.radius, inside, outside)


def _home_l0(place, short, ideal, first_push, push, share):
    """Pixels go home that are near it after the shortest step."""
    limit = (share * 2.0 * place.radius) ** 2
    # How much a pixel's square grows if it goes home instead.
    grown = (place.home - short) * (place.home + short - 2.0 * first_push)
    return _stay_at_home(place, grown <= limit, 0.0)


def _home_l1(place, short, ideal, first_push, push, share):
    """From the push, all pixels go the same way, or home if that is nearer."""
    # From what all pixels can go within the radius to what one can.
    way = place.radius * float(place.home.shape[1]) ** ((share - 1.0) / 2.0)
    left = place.home - push
    arrive = tf.abs(left) <= way
    start = _within_bounds(place, push + tf.clip_by_value(left, -way, way))
    return _stay_at_home(place, arrive, start)


def _stay_at_home(place, arrive, way):
    start = tf.where(arrive, place.home, way)
    lower = tf.where(arrive, start, place.lower)
    return start, lower, tf.where(arrive, start, place.upper)


def _home_l2(place, short, ideal, first_push, push, share):
    """All pixels go the same share of their ways."""
    most = tf.minimum(
        1.0, place.radius / tf.maximum(_length(place.home), _TINY)
    )
    return share * most * place.home, place.lower, place.upper


def _home_linf(place, short, ideal, first_push, push, share):
    """Pixels come to within a distance of home, and stay there."""
    first, last, now = (
        tf.reduce_max(tf.abs(place.home - step), 1, keepdims=True)
        for step in (short, ideal, 0.0)
    )
    last = tf.maximum(last, now - place.radius)
    limit = first + share * (last - first)
    lower = tf.maximum(place.lower, place.home - limit)
    upper = tf.minimum(place.upper, place.home + limit)
    return tf.minimum(tf.maximum(lower, 0.0), upper), lower, upper


# Part of the way home: (place, the shortest and the ideal step onto the plane,
# the push onto it from where it begins and after the last such part, share from
# 0 to 1 `(batch, 1)`) -> step, and bounds for what is left to do.
_WAYS_HOME: dict[str, Callable] = {
    "l0": _home_l0,
    "l1": _home_l1,
    "l2": _home_l2,
    "linf": _home_linf,
}


def _dogleg(radius, inside, outside):
    """Where the way from a step inside to one outside leaves the region."""
    way = outside - inside
    square = tf.maximum(total(way**2), _TINY)
    half = total(inside * way)
    rest = tf.maximum(radius**2 - total(inside**2), 0.0)
    share = (tf.sqrt(half**2 + square * rest) - half) / square
    return inside + tf.clip_by_value(share, 0.0, 1.0) * way


def _toward_plane(place):
    return tf.where(place.gap < 0, -place.normal, place.normal)


def _corner(place, direction):
    """The farthest step in a direction, a corner of the bounds."""
    ahead = tf.where(direction > 0, place.upper, 0.0)
    return tf.where(direction < 0, place.lower, ahead)


def _within_bounds(place, step):
    return tf.clip_by_value(step, place.lower, place.upper)


def _length(steps):
    return tf.sqrt(total(steps**2))
