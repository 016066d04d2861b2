"""Gradient descent that takes ever shorter steps and stops at a success."""

import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.problem import LOSSES

# Lengths of the first step, and of what would be one step after the last, in
# epsilons.
_FIRST_STEP = 0.1
_LAST_STEP = 0.001


@frozen
class DecayingDescentAttack(FixedEpsilon):
    """Projected gradient descent for a quick and strong look.

    It answers with the first adversarial met, or else with the last iterate.
    Source: Madry et al., "Towards deep learning models resistant to
    adversarial attacks" (2018). foolbox's PGD has steps of one length, knows
    only the cross-entropy, and can leave an adversarial again.

    Attributes:
        norm: `"l1"`, `"l2"` or `"linf"`.
        steps: gradient steps.
        loss: what to climb, one of `problem.LOSSES`.
    """

    norm: str = "linf"
    steps: int = 100
    loss: str = "log_odds"

    def __post_init__(self):
        checks.one_of("norm", self.norm, ("l1", "l2", "linf"))
        checks.one_of("loss", self.loss, LOSSES)
        checks.at_least("steps", self.steps, 1)

    def prepare(self, problem):
        start = NORMS[self.norm].random_start(problem.seeds, problem.pixels)
        return {"start": start}

    def perturb(self, problem, epsilon, prepared):
        ball = NORMS[self.norm]
        start = problem.images + epsilon * prepared["start"]

        def step(index, flat, found):
            scores, gradients = problem.gradient(problem.loss(self.loss), flat)
            found |= problem.is_adversarial(scores)
            progress = tf.cast(index, tf.float32) / self.steps
            share = _FIRST_STEP + progress * (_LAST_STEP - _FIRST_STEP)
            moved = problem.restrict(
                flat + share * epsilon * ball.direction(gradients),
                ball,
                epsilon,
            )
            return index + 1, tf.where(found[:, None], flat, moved), found

        return tf.while_loop(
            lambda index, flat, found: ~tf.reduce_all(found),
            step,
            (0, problem.clip(start), tf.zeros((problem.batch,), tf.bool)),
            maximum_iterations=self.steps,
        )[1]
