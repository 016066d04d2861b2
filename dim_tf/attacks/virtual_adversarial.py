"""Virtual adversarial attack: the direction that changes the scores most."""

from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks import splitmix
from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.norms import NORMS
from dim_tf.attacks.norms import linf_size


@frozen
class VirtualAdversarialAttack(FixedEpsilon):
    """One step along the direction in which probabilities diverge fastest.

    The direction is found by power iteration, from a random one. Where the
    divergence has no gradient the last direction stays; foolbox makes it NaN.

    Source: Miyato et al., "Distributional smoothing with virtual adversarial
    training" (2016).

    Attributes:
        steps: power iterations.
        xi: length of the step to where the divergence's gradient is taken, in
            ranges of the bounds (in foolbox, a difference of pixels). Of
            foolbox's default, which is the one here, a float32 image feels
            little but rounding, which differs from batch to batch. On MNIST,
            1 finds better directions.
    """

    norm: ClassVar[str] = "l2"
    supports_targets: ClassVar[bool] = False
    steps: int
    xi: float = 1e-6

    def __post_init__(self):
        checks.at_least("steps", self.steps, 0)

    def prepare(self, problem):
        probabilities = tf.nn.softmax(problem.scores(problem.images))
        direction = splitmix.normal(problem.seeds, problem.pixels)
        direction = tf.while_loop(
            lambda direction: True,
            lambda direction: [
                self._improve(problem, probabilities, direction)
            ],
            [NORMS["l2"].direction(direction)],
            maximum_iterations=self.steps,
        )[0]
        return {"direction": direction}

    def _improve(self, problem, probabilities, direction):
        def divergence(scores):
            log_likelihood = probabilities * tf.nn.log_softmax(scores)
            return -tf.reduce_sum(log_likelihood, 1)

        _, gradients = problem.gradient(
            divergence, problem.images + self.xi * problem.range * direction
        )
        better = NORMS["l2"].direction(gradients)
        return tf.where(linf_size(gradients) > 0, better, direction)

    def perturb(self, problem, epsilon, prepared):
        return problem.clip(problem.images + epsilon * prepared["direction"])
