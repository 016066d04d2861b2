"""Attacks whose samples go on, step by step, until each is done."""

import abc
from typing import ClassVar

from dim_tf.attacks import graphs
from dim_tf.attacks.adaptor import Native
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.graphs import Rows
from dim_tf.attacks.problem import Problem


@frozen
class Stepwise(Native):
    """An attack with a state that steps change.

    The state is a dict of tensors `(batch, ...)` with at least `active` (bool)
    and `result` (images), which must not change where a row is not active.

    Attributes:
        steps_together: most steps between two looks at which rows are done.
    """

    steps_together: ClassVar[int] = 1

    @property
    def changing(self) -> tuple[str, ...]:
        """Names of the tensors of the state that a step changes."""
        return "active", "result"

    @abc.abstractmethod
    def start(self, problem: Problem, rows: Rows) -> Rows:
        """The state before the first step."""

    def step(self, problem: Problem, state: Rows) -> Rows:
        """What of the state changes by a step: the tensors in `changing`."""
        raise NotImplementedError("every sample is done at the start")

    def advance(self, problem: Problem, state: Rows) -> Rows:
        """What of the state changes by some steps of the active samples."""
        return graphs.several_steps(
            self.step, problem, state, self.changing, self.steps_together
        )

    def steps_by_name(self):
        return {"start": self.start, "advance": self.advance}
