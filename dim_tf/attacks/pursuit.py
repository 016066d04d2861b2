"""Attacks within an epsilon that samples leave as soon as they are found."""

import abc
import dataclasses
from typing import ClassVar

from dim_tf.attacks import graphs
from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.graphs import Rows
from dim_tf.attacks.problem import Problem
from dim_tf.attacks.samples import Samples


@frozen
class Pursuit(FixedEpsilon):
    """A long search within an epsilon that ends at the first adversarial.

    Its state is a dict of tensors `(batch, ...)` with at least `active` (bool)
    and `result` (images), which must not change where a row is not active.

    Attributes:
        steps_together: most steps between two looks at which rows are done.
    """

    steps_together: ClassVar[int]

    @property
    @abc.abstractmethod
    def changing(self) -> tuple[str, ...]:
        """Names of the tensors of the state that a step changes."""

    @abc.abstractmethod
    def start(self, problem: Problem, rows: Rows) -> Rows:
        """The state before the first step; epsilons are `rows["epsilon"]`."""

    @abc.abstractmethod
    def step(self, problem: Problem, state: Rows) -> Rows:
        """What of the state changes by a step: the tensors in `changing`."""

    def advance(self, problem: Problem, state: Rows) -> Rows:
        """What of the state changes by some steps of the active samples."""
        return graphs.several_steps(
            self.step, problem, state, self.changing, self.steps_together
        )

    def steps_by_name(self):
        return {
            **super().steps_by_name(),
            "start": self.start,
            "advance": self.advance,
        }

    def attempt(self, samples: Samples, epsilons) -> Rows:
        rows = self.within(samples, epsilons)
        state = graphs.run_until_done(self.compiled(samples), rows)
        rows = {**samples.rows, "result": state["result"]}
        return super().attempt(
            dataclasses.replace(samples, rows=rows), epsilons
        )

    def perturb(self, problem, epsilon, prepared):
        del problem, epsilon
        return prepared["result"]
