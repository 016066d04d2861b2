"""Attacks that look for the closest adversarial, whatever the epsilon."""

import foolbox
import numpy as np
import tensorflow as tf

from dim_tf.attacks import calling
from dim_tf.attacks import graphs
from dim_tf.attacks import judging
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.stepwise import Stepwise


@frozen
class Minimization(Stepwise, foolbox.attacks.base.MinimizationAttack):  # type: ignore[misc]
    """An attack that looks for the closest adversarial.

    A perturbation that exceeds an epsilon is clipped to it and judged again,
    except in L0, where it counts as a failure.
    """

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
