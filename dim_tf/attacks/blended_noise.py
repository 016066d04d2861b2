"""Blending with uniform noise."""

import tensorflow as tf

from dim_tf.attacks import adaptor
from dim_tf.attacks import checks
from dim_tf.attacks import splitmix
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.flexible import CHUNKS_PER_ADVANCE
from dim_tf.attacks.flexible import LinearSearch
from dim_tf.attacks.flexible import first_adversarial


@frozen
class LinearSearchBlendedUniformNoiseAttack(LinearSearch):
    """The least blend with uniform noise that fools, step by step.

    First the noise is drawn, until it is adversarial itself; then the image is
    blended with it. Noise tends to fall into one class, so that images of that
    class need many draws, and may get none.

    Attributes:
        directions: draws at most.
    """

    directions: int = 1000

    def __post_init__(self):
        super().__post_init__()
        checks.at_least("directions", self.directions, 1)

    @property
    def length(self):
        return self.steps + 1

    def start(self, problem, rows):
        state = super().start(problem, rows)
        drawing = tf.ones((problem.batch,), tf.bool)
        return {**state, "noise": problem.images, "drawing": drawing}

    def path(self, problem, state, positions):
        shares = tf.cast(positions, tf.float32)[..., None] / self.steps
        end = state["noise"][:, None]
        return (1.0 - shares) * problem.images[:, None] + shares * end

    def otherwise(self, problem):
        return problem.images

    def advance(self, problem, state):
        names = ("position", "active", "result", "noise", "drawing")

        def try_chunk(*values):
            return list(self._try_chunk(problem, *values))

        values = tf.while_loop(
            lambda position, active, *rest: tf.reduce_any(active),
            try_chunk,
            [state[name] for name in names],
            maximum_iterations=CHUNKS_PER_ADVANCE,
        )
        return dict(zip(names, values, strict=True))

    def _try_chunk(self, problem, position, active, result, noise, drawing):
        together = tf.maximum(1, adaptor.SPECULATIVE_ROWS // problem.batch)
        numbers = position[:, None] + tf.range(together)
        last = tf.where(drawing, self.directions, self.length)[:, None] - 1
        # Beyond the last draw or blend is the last one once more.
        numbers = tf.minimum(numbers, last)
        lower, _ = problem.bounds
        draws = splitmix.uniform(problem.seeds, problem.pixels, numbers)
        draws = lower + draws * problem.range
        blends = self.path(problem, {"noise": noise}, numbers)
        tried = tf.where(drawing[:, None, None], draws, blends)
        found, chosen = first_adversarial(problem, tried)
        position += together
        over = found | (position > last[:, 0])
        # Without an adversarial draw the last one has to do.
        drawn = tf.where(found[:, None], chosen, tried[:, -1])
        noise = tf.where((drawing & over)[:, None], drawn, noise)
        hit = active & found & ~drawing
        result = tf.where(hit[:, None], chosen, result)
        active &= drawing | ~over
        position = tf.where(drawing & over, 0, position)
        return position, active, result, noise, drawing & ~over
