"""NewtonFool: Newton steps down the probability of a label."""

from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.norms import l2_size
from dim_tf.attacks.walk import Walk


@frozen
class NewtonFoolAttack(Walk):
    """Newton steps that would take a label's probability down to chance.

    A step is at most a share of the image's own size, and the walk ends at the
    first adversarial. An image without a gradient stays where it is; foolbox
    makes it NaN.

    Source: Jang et al., "Objective metrics and gradient descent algorithms for
    adversarial examples in machine learning" (2017).

    Attributes:
        stepsize: longest step, as a share of the image's L2 norm.
        squared_norms: whether to take the squares of the image's and of the
            gradient's norm for the norms, as foolbox 3 does and the paper does
            not; small gradients then make steps that leap out of the bounds.
    """

    norm: ClassVar[str] = "l2"
    supports_targets: ClassVar[bool] = False
    steps_together: ClassVar[int] = 10
    steps: int = 100
    stepsize: float = 0.01
    squared_norms: bool = False

    def move(self, problem, state):
        flat = state["result"]
        scores, gradients = problem.gradient(
            lambda scores: self._probability(problem, scores), flat
        )
        size, slope = l2_size(problem.images), l2_size(gradients)
        if self.squared_norms:
            size, slope = tf.square(size), tf.square(slope)
        above_chance = self._probability(problem, scores) - 1 / scores.shape[-1]
        descent = tf.minimum(
            self.stepsize * size * slope, above_chance[:, None]
        )
        moved = flat - gradients * tf.math.divide_no_nan(
            descent, tf.square(slope)
        )
        return scores, {"result": problem.clip(moved)}

    def _probability(self, problem, scores):
        return tf.gather(tf.nn.softmax(scores), problem.classes, batch_dims=1)
