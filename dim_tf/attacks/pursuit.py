"""Attacks within an epsilon that samples leave as soon as they are found."""

import dataclasses

from dim_tf.attacks import graphs
from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.graphs import Rows
from dim_tf.attacks.samples import Samples
from dim_tf.attacks.stepwise import Stepwise


@frozen
class Pursuit(Stepwise, FixedEpsilon):  # type: ignore[misc]
    """A long search within an epsilon that ends at the first adversarial.

    Where it starts, epsilons are `rows["epsilon"]`.
    """

    def steps_by_name(self):
        return {
            **FixedEpsilon.steps_by_name(self),
            **Stepwise.steps_by_name(self),
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
