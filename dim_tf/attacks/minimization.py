"""Attacks that look for the closest adversarial, whatever the epsilon."""

import abc
from typing import ClassVar

import foolbox
import numpy as np
import tensorflow as tf

from dim_tf.attacks import calling
from dim_tf.attacks import graphs
from dim_tf.attacks import judging
from dim_tf.attacks.adaptor import Native
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.graphs import Rows
from dim_tf.attacks.problem import Problem


@frozen
class Minimization(Native, foolbox.attacks.base.MinimizationAttack):  # type: ignore[misc]
    """An attack that looks for the closest adversarial.

    Its state is a dict of tensors `(batch, ...)` with at least `active` (bool)
    and `result` (images). A perturbation that exceeds an epsilon is clipped to
    it and judged again, except in L0, where it counts as a failure.

    Attributes:
        changing: names of the tensors of the state that a step changes.
        steps_together: most steps between two looks at which rows are done.
    """

    changing: ClassVar[tuple[str, ...]] = ("active", "result")
    steps_together: ClassVar[int] = 1

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

    def solve(self, samples, epsilons):
        state = graphs.run_until_done(self.compiled(samples), samples.rows)
        # By a rounding, an answer may have left the bounds.
        result = tf.clip_by_value(state["result"], *samples.model.bounds)
        clipped, success = judging.judge_samples(
            samples, self.norm, result, epsilons, self.jit_compile
        )
        raw = np.broadcast_to(result, (len(epsilons), *result.shape))
        return raw, clipped, success

    def run(self, model, inputs, criterion, *, early_stop=None, **kwargs):
        del early_stop  # foolbox's own attacks do not look at it either
        checked = self.check(model, inputs, criterion, **kwargs)
        return calling.restored(inputs, calling.call(self, checked, None)[0])
