"""Blending with uniform noise."""

from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks import speculation
from dim_tf.attacks import splitmix
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.flexible import LinearSearch


@frozen
class LinearSearchBlendedUniformNoiseAttack(LinearSearch):
    """The least blend with uniform noise that fools, step by step.

    First the noise is drawn, until it is adversarial itself; then the image is
    blended with it. Noise tends to fall into one class, so that images of that
    class need many draws, and may get none.

    Attributes:
        directions: draws at most.
    """

    changing: ClassVar[tuple[str, ...]] = (
        *LinearSearch.changing,
        "noise",
        "drawing",
    )
    directions: int = 1000

    def __post_init__(self):
        super().__post_init__()
        checks.at_least("directions", self.directions, 1)

    def start(self, problem, rows):
        state = super().start(problem, rows)
        drawing = tf.ones((problem.batch,), tf.bool)
        return {**state, "noise": problem.images, "drawing": drawing}

    def path(self, problem, state, positions):
        shares = tf.cast(positions, tf.float32)[..., None] / self.steps
        end = state["noise"][:, None]
        return (1.0 - shares) * problem.images[:, None] + shares * end

    def step(self, problem, state):
        drawing, noise = state["drawing"], state["noise"]
        together = speculation.together(problem)
        numbers = state["position"][:, None] + tf.range(together)
        last = tf.where(drawing, self.directions, self.length)[:, None] - 1
        # Beyond the last draw or blend is the last one once more.
        numbers = tf.minimum(numbers, last)
        lower, _ = problem.bounds
        draws = splitmix.uniform(problem.seeds, problem.pixels, numbers)
        draws = lower + draws * problem.range
        blends = self.path(problem, state, numbers)
        tried = tf.where(drawing[:, None, None], draws, blends)
        found, chosen = speculation.first_adversarial(problem, tried)
        position = state["position"] + together
        over = found | (position > last[:, 0])
        # Without an adversarial draw the last one has to do.
        drawn = tf.where(found[:, None], chosen, tried[:, -1])
        hit = state["active"] & found & ~drawing
        return {
            "active": state["active"] & (drawing | ~over),
            "result": tf.where(hit[:, None], chosen, state["result"]),
            "position": tf.where(drawing & over, 0, position),
            "noise": tf.where((drawing & over)[:, None], drawn, noise),
            "drawing": drawing & ~over,
        }
