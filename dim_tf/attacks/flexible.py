"""Searches that look the same in every norm; only their distance differs.

Inversion, contrast reduction, blur and blended noise ask the model along a
fixed path away from the image and stop at the first adversarial on it.
"""

import abc

import foolbox
import tensorflow as tf

from dim_tf.attacks import adaptor
from dim_tf.attacks import checks
from dim_tf.attacks.adaptor import Minimization
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.norms import NORMS

_NORM_OF = {norm.distance.p: name for name, norm in NORMS.items()}
# Chunks of candidates between two looks at who is done.
CHUNKS_PER_ADVANCE = 8


@frozen
class Flexible(Minimization):
    """An attack with a choice of distance.

    Attributes:
        distance: foolbox distance, in which perturbations are measured and
            clipped; the search itself never looks at it.
    """

    distance: foolbox.distances.LpDistance = foolbox.distances.l2

    @property
    def norm(self):
        return _NORM_OF[self.distance.p]


@frozen
class InversionAttack(Flexible):
    """The negative image.

    Source: Hosseini et al., "On the limitation of convolutional neural
    networks in recognizing negative images" (2017).
    """

    def start(self, problem, rows):
        negative = sum(problem.bounds) - problem.images
        return {
            "result": negative,
            "active": tf.zeros((problem.batch,), tf.bool),
        }


@frozen
class LinearSearch(Flexible):
    """Walks along a path of candidates to the first adversarial one.

    Attributes:
        steps: steps on the path.
    """

    steps: int = 1000

    def __post_init__(self):
        checks.at_least("steps", self.steps, 1)

    @property
    def length(self) -> int:
        """Candidates on the path."""
        return self.steps

    @abc.abstractmethod
    def path(self, problem, state, positions):
        """Candidates `(batch, k, pixels)` at int32 positions `(batch, k)`."""

    @abc.abstractmethod
    def otherwise(self, problem):
        """The answer where no candidate is adversarial."""

    def start(self, problem, rows):
        del rows
        return {
            "position": tf.zeros((problem.batch,), tf.int32),
            "result": self.otherwise(problem),
            "active": tf.ones((problem.batch,), tf.bool),
        }

    def advance(self, problem, state):
        together = tf.maximum(1, adaptor.SPECULATIVE_ROWS // problem.batch)

        def try_chunk(position, active, result):
            positions = position[:, None] + tf.range(together)
            # Beyond the end of the path is its end once more.
            positions = tf.minimum(positions, self.length - 1)
            tried = self.path(problem, state, positions)
            found, chosen = first_adversarial(problem, tried)
            found &= active
            result = tf.where(found[:, None], chosen, result)
            position += together
            active &= ~found & (position < self.length)
            return position, active, result

        position, active, result = tf.while_loop(
            lambda position, active, result: tf.reduce_any(active),
            try_chunk,
            (state["position"], state["active"], state["result"]),
            maximum_iterations=CHUNKS_PER_ADVANCE,
        )
        return {"position": position, "active": active, "result": result}


def first_adversarial(problem, candidates):
    """Whether one of a row's candidates is adversarial, and the first such.

    Args:
        problem: what is attacked.
        candidates: float32 `(batch, k, pixels)`.

    Returns:
        bool `(batch,)` and float32 `(batch, pixels)`, the first candidate of a
        row without any.
    """
    hits = problem.is_adversarial(problem.scores(candidates))
    first = tf.argmax(hits, 1)
    return tf.reduce_any(hits, 1), tf.gather(candidates, first, batch_dims=1)
