"""Searches that look the same in every norm; only their distance differs.

Inversion, contrast reduction, blur and blended noise ask the model along a
fixed path away from the image and stop at the first adversarial on it.
"""

import abc
import dataclasses
from typing import ClassVar

import foolbox
import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks import speculation
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.graphs import done
from dim_tf.attacks.minimization import Minimization
from dim_tf.attacks.norms import NORMS

_NORM_OF = {norm.distance.p: name for name, norm in NORMS.items()}


@frozen
class Flexible(Minimization):
    """An attack with a choice of distance.

    Attributes:
        distance: foolbox distance, in which perturbations are measured and
            clipped; the search itself never looks at it.

    Raises:
        ValueError: a distance of no norm that there is.
    """

    # A copy of a distance, as another process has, is not equal to it. The
    # norm is, so that attacks that are sent there still share their graphs.
    distance: foolbox.distances.LpDistance = dataclasses.field(
        default=foolbox.distances.l2, compare=False
    )
    norm: str = dataclasses.field(default="", init=False, repr=False)

    def __post_init__(self):
        power = getattr(self.distance, "p", None)
        if power not in _NORM_OF:
            raise ValueError(
                "distance must be foolbox's LpDistance of "
                f"{', '.join(map(str, _NORM_OF))}, got {self.distance!r}"
            )
        object.__setattr__(self, "norm", _NORM_OF[power])


@frozen
class InversionAttack(Flexible):
    """The negative image.

    Source: Hosseini et al., "On the limitation of convolutional neural
    networks in recognizing negative images" (2017).
    """

    def start(self, problem, rows):
        del rows
        return done(problem, sum(problem.bounds) - problem.images)


@frozen
class LinearSearch(Flexible):
    """Walks along a path of candidates to the first adversarial one.

    Attributes:
        steps: steps on the path.
    """

    changing: ClassVar[tuple[str, ...]] = ("active", "result", "position")
    steps_together: ClassVar[int] = 8
    steps: int = 1000

    def __post_init__(self):
        super().__post_init__()
        checks.at_least("steps", self.steps, 1)

    @property
    def length(self) -> int:
        """Candidates on the path."""
        return self.steps + 1

    @abc.abstractmethod
    def path(self, problem, state, positions):
        """Candidates `(batch, k, pixels)` at int32 positions `(batch, k)`."""

    def otherwise(self, problem):
        """The answer where no candidate is adversarial."""
        return problem.images

    def start(self, problem, rows):
        del rows
        return {
            "position": tf.zeros((problem.batch,), tf.int32),
            "result": self.otherwise(problem),
            "active": tf.ones((problem.batch,), tf.bool),
        }

    def step(self, problem, state):
        """The next candidates of each row, in one call of the model."""
        together = speculation.together(problem)
        positions = state["position"][:, None] + tf.range(together)
        # Beyond the end of the path is its end once more.
        positions = tf.minimum(positions, self.length - 1)
        tried = self.path(problem, state, positions)
        found, chosen = speculation.first_adversarial(problem, tried)
        found &= state["active"]
        position = state["position"] + together
        return {
            "active": state["active"] & ~found & (position < self.length),
            "result": tf.where(found[:, None], chosen, state["result"]),
            "position": position,
        }
