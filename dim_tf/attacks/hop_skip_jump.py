"""Steps along the decision boundary by gradients that decisions reveal."""

import math
from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks import speculation
from dim_tf.attacks import splitmix
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.graphs import least_enough
from dim_tf.attacks.minimization import Minimization
from dim_tf.attacks.norms import FLOOR
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.norms import l2_size
from dim_tf.attacks.starting_points import find_starting_points

# Always as many, so that their sum is rounded the same in any batch.
_EVALUATIONS_TOGETHER = 10
# Beyond, a step is too short to be seen in float32.
_HALVINGS = 32


@frozen
class HopSkipJumpAttack(Minimization):
    """Gradient steps away from the boundary, and straight back to it.

    At the boundary, the share of random steps that are adversarial tells the
    direction of the gradient. A step in it is as long as it can be, and ends
    where the way from there to the image meets the boundary. Asks for
    decisions only.

    Source: Chen et al., "HopSkipJumpAttack: a query-efficient decision-based
    attack" (2020), as in foolbox 3.3.4. There, L2 steps get shorter as the
    batch gets larger, the last point is the result even if another was closer,
    and a step whose length can be searched on a grid is not usable.

    Attributes:
        steps: gradient steps.
        initial_gradient_eval_steps: random steps for the first gradient; later
            ones get more, as the root of their number.
        max_gradient_eval_steps: random steps for one gradient at most.
        gamma: accuracy of the way back, in units of `1 / pixels ** 1.5` (L2)
            or `1 / pixels ** 2` (Linf).
        constraint: `"l2"` or `"linf"`, the norm.
    """

    supports_starting_points: ClassVar[bool] = True
    steps: int = 64
    initial_gradient_eval_steps: int = 100
    max_gradient_eval_steps: int = 10000
    gamma: float = 1.0
    constraint: str = "l2"

    def __post_init__(self):
        checks.one_of("constraint", self.constraint, ("l2", "linf"))
        checks.at_least("steps", self.steps, 1)
        checks.positive("gamma", self.gamma)
        checks.at_least(
            "initial_gradient_eval_steps", self.initial_gradient_eval_steps, 1
        )
        checks.at_least(
            "max_gradient_eval_steps", self.max_gradient_eval_steps, 1
        )

    @property
    def norm(self):
        return self.constraint

    def start(self, problem, rows):
        points, elsewhere = find_starting_points(problem, rows)
        points = tf.where(
            elsewhere[:, None], self._to_boundary(problem, points), points
        )
        return {
            "active": elsewhere,
            "result": points,
            "point": points,
            "step": tf.zeros((problem.batch,), tf.int32),
        }

    def advance(self, problem, state):
        active, point, step = state["active"], state["point"], state["step"]
        size = NORMS[self.norm].size
        distance = size(point - problem.images)
        gradient = self._estimate(problem, point, distance, step, active)
        if self.norm == "linf":
            gradient = tf.sign(gradient)
        root = tf.sqrt(tf.cast(step + 1, tf.float32))[:, None]
        far = self._leap(problem, point, gradient, distance / root, active)
        point = self._to_boundary(problem, far)
        closer = (
            active
            & (
                size(point - problem.images)
                < size(state["result"] - problem.images)
            )[:, 0]
        )
        return {
            "active": active & (step + 1 < self.steps),
            "result": tf.where(closer[:, None], point, state["result"]),
            "point": point,
            "step": step + 1,
        }

    def _to_boundary(self, problem, far):
        """The last adversarial image on the way from `far` to the image."""
        images, pixels = problem.images, problem.pixels
        ball = NORMS[self.norm]
        change = far - images
        whole = ball.size(change)
        accuracy = self.gamma / pixels ** (1.5 if self.norm == "l2" else 2.0)

        def at(share):
            moved = images + ball.project(change, share * whole)
            # All the way is `far` itself: what is adversarial by a rounding
            # would not survive another.
            return tf.where(share < 1.0, moved, far)

        def adversarial(share):
            return problem.fooled_by(at(share))[:, None]

        halvings = max(0, math.ceil(-math.log2(accuracy)))
        return at(least_enough(adversarial, tf.ones_like(whole), halvings))

    def _estimate(self, problem, point, distance, step, active):
        """The direction in which more random steps are adversarial."""
        first = step[:, None] == 0
        radius = tf.where(
            first, 0.1 * problem.range, self.gamma / problem.pixels * distance
        )[:, None]
        count = self.initial_gradient_eval_steps * tf.sqrt(
            tf.cast(step + 1, tf.float32)
        )
        count = tf.minimum(
            tf.cast(count, tf.int32), self.max_gradient_eval_steps
        )

        def evaluate(index, votes, steps, signed_steps):
            numbers = index + tf.range(_EVALUATIONS_TOGETHER)
            counts = tf.cast(numbers < count[:, None], tf.float32)
            noise = self._noise(problem, step, numbers)
            noise /= l2_size(noise) + FLOOR
            tried = problem.clip(point[:, None] + radius * noise)
            moved = (tried - point[:, None]) / tf.maximum(radius, FLOOR)
            adversarial = problem.fooled_by(tried)
            vote = counts * tf.where(adversarial, 1.0, -1.0)
            return (
                index + _EVALUATIONS_TOGETHER,
                votes + tf.reduce_sum(vote, 1, keepdims=True),
                steps + tf.reduce_sum(counts[..., None] * moved, 1),
                signed_steps + tf.reduce_sum(vote[..., None] * moved, 1),
            )

        zeros = tf.zeros_like(point)
        _, votes, steps, signed_steps = tf.while_loop(
            lambda index, *sums: tf.reduce_any(active & (index < count)),
            evaluate,
            [0, zeros[:, :1], zeros, zeros],
        )
        mean = votes / tf.cast(count, tf.float32)[:, None]
        # Without the mean the votes vary less, unless they all agree.
        mean = tf.where(tf.abs(mean) == 1.0, 0.0, mean)
        gradient = signed_steps - mean * steps
        return gradient / tf.maximum(l2_size(gradient), FLOOR)

    def _noise(self, problem, step, numbers):
        draw = splitmix.normal if self.norm == "l2" else splitmix.symmetric
        return draw(problem.seeds, problem.pixels, step, numbers[None])

    def _leap(self, problem, point, direction, length, active):
        """The farthest adversarial image by halves of a length."""

        def at(halvings):
            lengths = length * tf.pow(0.5, tf.cast(halvings, tf.float32))
            return problem.clip(
                point[:, None] + lengths[..., None] * direction[:, None]
            )

        return speculation.first_of(problem, _HALVINGS, at, ~active, point)
