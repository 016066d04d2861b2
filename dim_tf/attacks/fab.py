"""Steps onto the linearized boundary that stay near the image: FAB.

Source: Croce and Hein, "Minimally distorted adversarial examples with a fast
adaptive boundary attack" (2020), in its targeted form: the third of AutoAttack.
"""

from typing import ClassVar

import numpy as np
import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.minimization import Minimization
from dim_tf.attacks.norms import FLOOR
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.norms import linf_size
from dim_tf.attacks.target_classes import lead_of
from dim_tf.attacks.target_classes import most_likely

# Twice as many as Newton's method was seen to need, of gradients over eight
# decades; and how near it has to come.
_NEWTON_STEPS = 20
_NEAR = 1e-6
# Of the twelve decades of gains that count: their levels are then as close as
# numbers of float32.
_HALVINGS = 30


@frozen
class FABAttack(Minimization):
    """Steps onto the boundary as it seems to lie, from the point and the image.

    A step goes a little beyond where the plane on which another class would
    lead meets the bounds nearest to the point, and in part beyond where it is
    nearest to the image, the more the nearer that is. Each adversarial is moved
    back toward the image. Runs toward one other class after another, the most
    likely ones first.

    The authors find the nearest point of plane and bounds by sorting; here it
    is met by Newton's method, and in L1 by halving. Like the run of theirs in
    AutoAttack, it starts from the image and ends without a last search along
    the way: nothing in it is random, and repeating it is worth nothing.

    Attributes:
        norm: `"l1"`, `"l2"` or `"linf"`.
        steps: of a run.
        targets: other classes at most.
        alpha_max: largest share of the step that starts from the image.
        eta: how far beyond the plane a step goes.
        beta: share of an adversarial's way from the image that it goes back to.
    """

    supports_targets: ClassVar[bool] = False
    changing: ClassVar[tuple[str, ...]] = (
        *("active", "result", "distance", "point", "step", "turn"),
    )
    steps_together: ClassVar[int] = 10
    norm: str = "linf"
    steps: int = 100
    targets: int = 9
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9

    def __post_init__(self):
        checks.one_of("norm", self.norm, tuple(_NEAREST))
        checks.at_least("steps", self.steps, 1)
        checks.at_least("targets", self.targets, 1)
        checks.at_least("alpha_max", self.alpha_max, 0)
        checks.at_least("eta", self.eta, 1)
        checks.at_least("beta", self.beta, 0)

    def start(self, problem, rows):
        del rows
        scores = problem.scores(problem.images)
        adversarial = problem.is_adversarial(scores)
        zeros = tf.zeros((problem.batch,), tf.int32)
        return {
            "active": ~adversarial,
            "result": problem.images,
            "distance": tf.where(adversarial, 0.0, np.inf),
            "point": problem.images,
            "step": zeros,
            "turn": zeros,
            "targets": most_likely(problem, scores, self.targets),
        }

    def step(self, problem, state):
        images, size = problem.images, NORMS[self.norm].size
        point = self._onto_plane(problem, state)
        adversarial = problem.fooled_by(point)
        distance = size(point - images)[:, 0]
        closer = state["active"] & adversarial & (distance < state["distance"])
        back = images + self.beta * (point - images)
        step = state["step"] + 1
        over = step >= self.steps
        turn = state["turn"] + tf.cast(over, tf.int32)
        # A new run starts from the image.
        here = tf.where(adversarial[:, None], back, point)
        return {
            "active": state["active"] & (turn < state["targets"].shape[1]),
            "result": tf.where(closer[:, None], point, state["result"]),
            "distance": tf.where(closer, distance, state["distance"]),
            "point": tf.where(over[:, None], images, here),
            "step": tf.where(over, 0, step),
            "turn": turn,
        }

    def _onto_plane(self, problem, state):
        point, images = state["point"], problem.images
        lead = lead_of(problem, state["targets"], state["turn"])
        scores, gradient = problem.gradient(lead, point)
        missing = -lead(scores)[:, None]
        # There is no way to a class that is out of the race.
        missing = tf.where(tf.math.is_finite(missing), missing, 0.0)
        # The same plane, as it is seen from the image.
        gain = tf.reduce_sum(gradient * (point - images), 1, keepdims=True)
        places = tf.concat([point, images], 0)
        steps = nearest_step(
            self.norm,
            problem.bounds,
            places,
            tf.concat([gradient, gradient], 0),
            tf.concat([missing, missing + gain], 0),
        )
        from_point, from_image = tf.split(steps, 2)
        size = NORMS[self.norm].size
        first = tf.maximum(size(from_point), FLOOR)
        second = tf.maximum(size(from_image), FLOOR)
        alpha = tf.minimum(first / (first + second), self.alpha_max)
        moved = (1.0 - alpha) * (point + self.eta * from_point)
        return problem.clip(moved + alpha * (images + self.eta * from_image))


def nearest_step(norm, bounds, places, gradients, missing):
    """The shortest steps onto planes that stay within the bounds.

    Where a plane does not meet the bounds, the step goes as near to it as they
    allow.

    Args:
        norm: `"l1"`, `"l2"` or `"linf"`.
        bounds: smallest and largest value of a pixel.
        places: float32 `(n, pixels)`, within the bounds.
        gradients: float32 `(n, pixels)`.
        missing: float32 `(n, 1)`, what a step's product with its gradient is to
            be.

    Returns:
        float32 `(n, pixels)`.
    """
    scale = tf.maximum(linf_size(gradients), np.finfo(np.float32).tiny)
    gradients, missing = gradients / scale, missing / scale
    ways = tf.sign(missing) * tf.sign(gradients)
    lower, upper = bounds
    room = tf.where(ways >= 0, upper - places, places - lower)
    lengths = _NEAREST[norm](tf.abs(gradients), room, tf.abs(missing))
    return tf.where(ways == 0, 0.0, ways * lengths)


def _by_newton(slopes, gains, room, missing):
    """Lengths that grow together, in proportion to slopes, up to the room.

    What they gain is a concave, piecewise linear function of their common
    factor: Newton's method meets any value from below.
    """

    def lacking(factor):
        return missing - tf.reduce_sum(
            gains * tf.minimum(factor * slopes, room), 1, keepdims=True
        )

    def approach(factor, lack):
        moving = tf.where(factor * slopes < room, gains * slopes, 0.0)
        pace = tf.reduce_sum(moving, 1, keepdims=True)
        # A row that has arrived stays, however long others take.
        further = tf.where(
            (lack > _NEAR * missing) & (pace > 0.0), lack / pace, 0.0
        )
        factor += further
        return factor, tf.where(further > 0.0, lacking(factor), 0.0)

    factor, _ = tf.while_loop(
        lambda factor, lack: tf.reduce_any(lack > _NEAR * missing),
        approach,
        (tf.zeros_like(missing), missing),
        maximum_iterations=_NEWTON_STEPS,
    )
    return tf.minimum(factor * slopes, room)


def _nearest_l2(gains, room, missing):
    return _by_newton(gains, gains, room, missing)


def _nearest_linf(gains, room, missing):
    return _by_newton(tf.ones_like(gains), gains, room, missing)


def _nearest_l1(gains, room, missing):
    """What gains most goes first, as far as it can: that above some level.

    The level is found by halving. What is at it goes in order, as far as it
    takes.
    """
    most = gains * room

    def total(level):
        above = tf.where(gains > level, most, 0.0)
        return tf.reduce_sum(above, 1, keepdims=True)

    def halve(low, high):
        level = tf.sqrt(low * high)
        enough = total(level) > missing
        return tf.where(enough, level, low), tf.where(enough, high, level)

    ones = tf.ones_like(missing)
    low, high = tf.while_loop(
        lambda low, high: True,
        halve,
        (FLOOR * ones, ones),
        maximum_iterations=_HALVINGS,
    )
    whole = gains > high
    there = tf.where((gains > low) & ~whole, most, 0.0)
    before = total(high) + tf.cumsum(there, 1, exclusive=True)
    used = tf.clip_by_value(missing - before, 0.0, there)
    part = tf.minimum(used / tf.maximum(gains, FLOOR), room)
    return tf.where(whole, room, part)


_NEAREST = {"l1": _nearest_l1, "l2": _nearest_l2, "linf": _nearest_linf}
