"""More and more black and white pixels, until the model gives in."""

import abc
import math
from typing import ClassVar

import numpy as np
import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks import speculation
from dim_tf.attacks import splitmix
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.minimization import Minimization
from dim_tf.attacks.norms import NORMS


@frozen
class SaltAndPepper(Minimization):
    """Random noise on a ladder of levels, and on a lower one after a success.

    The level is the share of pixels that turn black or white. It rises from
    low to high, one try on each rung, until a try is the closest adversarial
    so far; then, or at the top, the next ladder begins.

    Attributes:
        across_channels: whether the channels of a pixel turn together.
        channel_axis: counted with the batch's; None: the last of three.
    """

    changing: ClassVar[tuple[str, ...]] = (
        *("active", "result", "distance", "low", "high"),
        *("rung", "rungs", "tries", "ladders"),
    )
    steps_together: ClassVar[int] = 50
    across_channels: bool = True
    channel_axis: int | None = None

    @abc.abstractmethod
    def ladder(self, level, last_try):
        """Low end and number of rungs of the ladder after a success.

        The first ladder is that after a success of level 0 at the first try.

        Args:
            level: of the success, float32 `(batch,)`.
            last_try: number of tries before it, int32 `(batch,)`.
        """

    @abc.abstractmethod
    def goes_on(self, tries, ladders):
        """Whether there is another try, by how many there were."""

    def start(self, problem, rows):
        del rows
        misclassified = problem.fooled_by(problem.images)
        zeros = tf.zeros((problem.batch,))
        none = tf.cast(zeros, tf.int32)
        low, rungs = self.ladder(zeros, none)
        return {
            "active": ~misclassified,
            "result": problem.images,
            "distance": zeros + np.inf,
            "low": low,
            "high": zeros + 1.0,
            "rung": none,
            "rungs": rungs,
            "tries": none,
            "ladders": none,
        }

    def step(self, problem, search):
        """As many tries as go into one call of the model."""
        together = speculation.together(problem)
        tries = search["tries"][:, None] + tf.range(together)
        rung = search["rung"][:, None] + 1 + tf.range(together)
        rungs = search["rungs"][:, None]
        low, high = search["low"][:, None], search["high"][:, None]
        share = tf.cast(rung, tf.float32) / tf.cast(rungs, tf.float32)
        level = low + (high - low) * share
        valid = (rung <= rungs) & search["active"][:, None]
        valid &= self.goes_on(tries, search["ladders"][:, None])

        candidates = self._noisy(problem, level, tries)
        change = candidates - problem.images[:, None]
        distance = NORMS[self.norm].size(change)[..., 0]
        found = problem.fooled_by(candidates)
        found &= valid & (distance < search["distance"][:, None])
        first = tf.argmax(found, 1, output_type=tf.int32)
        found = tf.reduce_any(found, 1)
        tried = tf.reduce_sum(tf.cast(valid, tf.int32), 1)
        tried = tf.where(found, first + 1, tried)

        def of_first(table):
            return tf.gather(table, first, batch_dims=1)

        search = {
            **search,
            "tries": search["tries"] + tried,
            "rung": search["rung"] + tried,
            "result": tf.where(
                found[:, None], of_first(candidates), search["result"]
            ),
            "distance": tf.where(found, of_first(distance), search["distance"]),
        }
        return self._change_ladders(search, found, of_first(level))

    def _noisy(self, problem, level, tries):
        """Images with noise of levels `(batch, k)`: `(batch, k, pixels)`."""
        shape = list(problem.shape)
        if self.across_channels and self.channel_axis is not None:
            shape[self.channel_axis % (len(shape) + 1) - 1] = 1
        elif self.across_channels and len(shape) == 3:
            shape[-1] = 1
        noise = splitmix.uniform(problem.seeds, math.prod(shape), tries)
        leading = tf.shape(noise)[:2]
        noise = tf.reshape(noise, tf.concat([leading, shape], 0))
        noise = tf.broadcast_to(noise, tf.concat([leading, problem.shape], 0))
        noise = tf.reshape(noise, [*tf.unstack(leading), problem.pixels])
        half = level[..., None] / 2
        lower, upper = problem.bounds
        salted = tf.where(noise >= 1 - half, upper, problem.images[:, None])
        return tf.where(noise < half, lower, salted)

    def _change_ladders(self, search, found, level):
        low, rungs = self.ladder(level, search["tries"] - 1)
        # Noise of a level is larger or smaller by chance: not too low a top.
        high = tf.minimum(1.2 * level, 1.0)
        ended = search["active"] & (found | (search["rung"] >= search["rungs"]))
        ladders = search["ladders"] + tf.cast(ended, tf.int32)
        goes_on = self.goes_on(search["tries"], ladders)
        return {
            **search,
            "active": search["active"] & goes_on,
            "low": tf.where(found, low, search["low"]),
            "high": tf.where(found, high, search["high"]),
            "rung": tf.where(ended, 0, search["rung"]),
            "rungs": tf.where(found, rungs, search["rungs"]),
            "ladders": ladders,
        }


@frozen
class SaltAndPepperNoiseAttack(SaltAndPepper):
    """Salt-and-pepper noise of ever lower levels, for as many tries.

    Source: foolbox, whose versions before 3.3.1 measured the noisy image
    instead of the noise.

    Attributes:
        steps: tries in all.
    """

    norm: ClassVar[str] = "l2"
    steps: int = 1000

    def __post_init__(self):
        checks.at_least("steps", self.steps, 1)

    def ladder(self, level, last_try):
        return 0.5 * level, self.steps - last_try

    def goes_on(self, tries, ladders):
        del ladders
        return tries < self.steps


@frozen
class SparseSaltAndPepper(SaltAndPepper):
    """Salt-and-pepper noise that changes few pixels.

    Source: foolbox 2.4.0, where its pointwise attack starts from it.

    Attributes:
        levels: rungs of a ladder, which always starts from no noise.
        repetitions: ladders.
    """

    norm: ClassVar[str] = "l0"
    levels: int = 100
    repetitions: int = 10

    def __post_init__(self):
        checks.at_least("levels", self.levels, 1)
        checks.at_least("repetitions", self.repetitions, 1)

    def ladder(self, level, last_try):
        return 0.0 * level, tf.fill(tf.shape(last_try), self.levels)

    def goes_on(self, tries, ladders):
        del tries
        return ladders < self.repetitions
