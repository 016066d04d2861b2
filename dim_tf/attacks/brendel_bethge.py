"""The Brendel-Bethge attacks in L0, L1, L2 and Linf: one algorithm.

From an adversarial image the attack walks along the decision boundary toward
the original image, by steps that are best within a trust region.
"""

from collections.abc import Callable
from typing import ClassVar
from typing import Literal

import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks import trust_region
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.graphs import choose
from dim_tf.attacks.graphs import least_enough
from dim_tf.attacks.minimization import Minimization
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.problem import decided
from dim_tf.attacks.starting_points import find_starting_points


@frozen
class BrendelBethge(Minimization):
    """Walks along the boundary to its point that is closest to the image.

    Source: Brendel et al., "Accurate, reliable and fast robustness evaluation"
    (2019). It differs from foolbox's as follows. A row's trust region follows
    from `region_factor` and not from the batch's size; a row without a
    starting point fails alone; where the boundary is out of reach the step
    goes toward it; steps come from closed forms and not from iterative
    solvers, see `trust_region`.

    Attributes:
        overshoot: how far to step beyond the boundary; 1 is onto it.
        steps: gradient steps.
        lr: radius of the trust region at first, in units of
            `region_factor * pixels * (upper bound - lower bound)`.
        lr_decay: factor on `lr`, now and then.
        lr_num_decay: how often.
        momentum: share of the former steps in the boundary's normal.
        binary_search_steps: halvings of the way to the starting point.
        region_factor: see `lr`; foolbox takes the number of rows in a batch.
        clearance: how far beyond the boundary to aim, as a share of the larger
            of the two scores that meet there, so that rounding does not decide
            what is adversarial; foolbox: 0.
        toward_plane: "correct", or "foolbox" for its step in a wrong direction
            where the boundary is out of an adversarial image's reach.
    """

    supports_starting_points: ClassVar[bool] = True
    changing: ClassVar[tuple[str, ...]] = (
        *("active", "result", "current", "normal", "step"),
    )
    steps_together: ClassVar[int] = 100
    overshoot: float = 1.1
    steps: int = 1000
    lr: float = 1e-3
    lr_decay: float = 0.5
    lr_num_decay: int = 20
    momentum: float = 0.8
    binary_search_steps: int = 10
    region_factor: float = 100.0
    clearance: float = 1e-5
    toward_plane: Literal["correct", "foolbox"] = "correct"

    def __post_init__(self):
        checks.at_least("steps", self.steps, 1)
        checks.at_least("lr_num_decay", self.lr_num_decay, 1)
        checks.one_of("toward_plane", self.toward_plane, ("correct", "foolbox"))

    def start(self, problem, rows):
        points, elsewhere = find_starting_points(problem, rows)
        return {
            "active": elsewhere,
            "result": points,
            "current": self._onto_boundary(problem, points),
            "normal": tf.zeros_like(points),
            "step": tf.zeros([problem.batch], tf.int32),
        }

    def _onto_boundary(self, problem, points):
        """The adversarial image next to the boundary on a path of the norm."""
        change = points - problem.images

        def at(position):
            blended = _BLENDS[self.norm](change, position, problem.range)
            return problem.clip(problem.images + blended)

        def adversarial(position):
            scores = problem.scores(at(position))
            return problem.is_adversarial(scores)[:, None]

        whole = tf.ones([problem.batch, 1])
        return at(least_enough(adversarial, whole, self.binary_search_steps))

    def step(self, problem, state):
        """One step of every row that is active."""
        current, result = state["current"], state["result"]
        scores, gradients = problem.gradient(problem.margin, current)
        # Where the scores say nothing there is no way on but back.
        known = decided(scores)[:, None]
        of_class, best_other = problem.contenders(scores)
        larger = tf.maximum(tf.abs(of_class), tf.abs(best_other))
        clearance = self.clearance * larger[:, None]
        margin = problem.margin(scores)[:, None]
        size = NORMS[self.norm].size
        closer = size(current - problem.images) < size(result - problem.images)
        good = known & (margin > clearance / 2.0) & closer
        result = tf.where(good, current, result)

        step = state["step"] + 1
        normal = gradients + self.momentum * (state["normal"] - gradients)
        normal = tf.where(step[:, None] == 1, gradients, normal)
        lead = margin - clearance
        place = self._place(problem, current, normal, lead, step)
        change = trust_region.best_step(self.norm, place, self.toward_plane)
        moved = problem.clip(current + change)
        if self.norm == "l0":
            away = tf.abs(moved - problem.images)
            at_home = away <= trust_region.AT_HOME * problem.range
            moved = tf.where(at_home, problem.images, moved)
        new = {
            "active": state["active"] & (step < self.steps),
            "result": result,
            "current": tf.where(known, moved, result),
            "normal": normal,
            "step": step,
        }
        return choose(state["active"], new, state)

    def _place(self, problem, current, gradients, lead, step):
        """What step number `step` knows of images that lead by so much."""
        lower, upper = problem.bounds
        # In two steps: squares of small float32 vanish.
        peak = tf.reduce_max(tf.abs(gradients), 1, keepdims=True)
        gradients = tf.math.divide_no_nan(gradients, peak)
        length = NORMS["l2"].size(gradients)
        factor = tf.where(lead < 0, -self.overshoot, self.overshoot - 2.0)
        gap = tf.math.divide_no_nan(factor * lead, peak)
        interval = max(1, int(self.steps / self.lr_num_decay))
        # foolbox's step s has seen the decays of (s + 1) // interval.
        decays = (step + 1) // interval - 1 // interval
        decays = tf.cast(decays, tf.float32)[:, None]
        unit = self.lr * self.region_factor * problem.pixels * problem.range
        return trust_region.Place(
            home=problem.images - current,
            lower=lower - current,
            upper=upper - current,
            normal=tf.math.divide_no_nan(gradients, length),
            slope=peak * length,
            gap=tf.math.divide_no_nan(gap, length),
            # Without a gradient there is nowhere to go.
            radius=tf.where(length > 0, unit * self.lr_decay**decays, 0.0),
        )


def _blend_l0(change, position, width):
    return tf.where(tf.abs(change) <= position * width, change, 0.0)


def _blend_l1(change, position, width):
    left = tf.maximum(tf.abs(change) - (1.0 - position) * width, 0.0)
    return tf.sign(change) * left


def _blend_l2(change, position, width):
    del width
    return position * change


def _blend_linf(change, position, width):
    return tf.clip_by_value(change, -position * width, position * width)


# Less of a change: (change `(batch, pixels)`, position `(batch, 1)` from 0 for
# none to 1 for all of it, width of the bounds) -> change.
_BLENDS: dict[str, Callable] = {
    "l0": _blend_l0,
    "l1": _blend_l1,
    "l2": _blend_l2,
    "linf": _blend_linf,
}


class L0BrendelBethgeAttack(BrendelBethge):
    """Brendel-Bethge attack in L0."""

    norm: ClassVar[str] = "l0"


class L1BrendelBethgeAttack(BrendelBethge):
    """Brendel-Bethge attack in L1."""

    norm: ClassVar[str] = "l1"


class L2BrendelBethgeAttack(BrendelBethge):
    """Brendel-Bethge attack in L2."""

    norm: ClassVar[str] = "l2"


class LinfinityBrendelBethgeAttack(BrendelBethge):
    """Brendel-Bethge attack in Linf."""

    norm: ClassVar[str] = "linf"
