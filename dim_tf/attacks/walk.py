"""Steps that go on until an image is adversarial."""

import abc
from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.graphs import choose
from dim_tf.attacks.minimization import Minimization


@frozen
class Walk(Minimization):
    """Steps of each image until it is adversarial, which is the answer.

    Attributes:
        steps: most steps of an image; it fails if they are not enough.
    """

    changing: ClassVar[tuple[str, ...]] = ("active", "result", "step")
    steps: int

    def __post_init__(self):
        checks.at_least("steps", self.steps, 1)

    @abc.abstractmethod
    def move(self, problem, state):
        """One step from the images `state["result"]`.

        Returns:
            their scores, and a dict of `result`, and of what else it changes.
        """

    def start(self, problem, rows):
        del rows
        return {
            "active": tf.ones_like(problem.classes, tf.bool),
            "result": problem.images,
            "step": tf.zeros_like(problem.classes, tf.int32),
        }

    def step(self, problem, state):
        scores, moved = self.move(problem, state)
        moves = state["active"] & ~problem.is_adversarial(scores)
        exhausted = state["step"] >= self.steps
        moved["result"] = tf.where(
            exhausted[:, None], problem.images, moved["result"]
        )
        return {
            **choose(moves, moved, state),
            "active": moves & ~exhausted,
            "step": state["step"] + 1,
        }
