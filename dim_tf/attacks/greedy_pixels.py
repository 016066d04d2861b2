"""Greedy changes of single pixels, for sparse norms and binarized models.

A binarized model sees which pixels are bright and nothing else, so that an
attack on it is a choice of pixels to carry across the threshold. The gradient
proposes the pixels that promise most per cost, the model judges the proposals,
and the best one is kept.
"""

import numpy as np
import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks.adaptor import FixedEpsilon
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.norms import ROUNDING

_COST_EXPONENT = {"l0": 0.0, "l1": 1.0, "l2": 2.0}
# Pixels that cost next to nothing must not look infinitely good.
_COST_FLOOR = 0.02


@frozen
class GreedyPixelsAttack(FixedEpsilon):
    """Changes one pixel after the other, the most rewarding one first.

    Attributes:
        norm: `"l0"`, `"l1"` or `"l2"`.
        binarized: whether a pixel moves just across the middle of the bounds
            (enough for a model that binarizes its input there) or all the way
            to one of them.
        proposals: pixels tried per step.
        steps: largest number of pixels changed.
    """

    norm: str = "l0"
    binarized: bool = False
    proposals: int = 8
    steps: int = 40

    def __post_init__(self):
        checks.one_of("norm", self.norm, _COST_EXPONENT)
        checks.at_least("proposals", self.proposals, 1)
        checks.at_least("steps", self.steps, 1)

    def perturb(self, problem, epsilon, prepared):
        del prepared
        exponent = _COST_EXPONENT[self.norm]
        budget = epsilon**exponent if exponent else epsilon
        budget *= 1.0 + ROUNDING

        def step(flat, left, used, active):
            scores, gradients = problem.gradient(problem.margin, flat)
            active &= ~problem.is_adversarial(scores)
            values, costs = self._replacements(problem, gradients)
            allowed = ~used & (costs <= left)
            rates = self._rates(problem, flat, gradients, values, costs)
            rates = tf.where(allowed, rates, rates.dtype.min)
            chosen = _best_pixel(
                problem, flat, values, allowed, rates, self.proposals
            )
            chosen &= active[:, None]
            flat = tf.where(chosen, values, flat)
            left -= tf.reduce_sum(
                tf.where(chosen, costs, 0.0), 1, keepdims=True
            )
            active &= tf.reduce_any(chosen, 1)
            return flat, left, used | chosen, active

        untouched = tf.zeros_like(problem.images, tf.bool)
        return tf.while_loop(
            lambda flat, left, used, active: tf.reduce_any(active),
            step,
            (problem.images, budget, untouched, ~untouched[:, 0]),
            maximum_iterations=self.steps,
        )[0]

    def _replacements(self, problem, gradients):
        """What each pixel would become, and what that would cost."""
        lower, upper = problem.bounds
        if self.binarized:
            bright = np.float32((lower + upper) / 2)
            dark = np.nextafter(bright, np.float32(lower))
            values = tf.where(problem.images < bright, bright, dark)
        else:
            values = tf.where(gradients > 0, upper, lower)
        change = tf.abs(values - problem.images)
        return values, change ** _COST_EXPONENT[self.norm]

    def _rates(self, problem, flat, gradients, values, costs):
        """How much each change promises, per cost."""
        change = values - flat
        if self.binarized:
            # Across the threshold the model sees a whole step.
            change = problem.range * tf.sign(values - problem.images)
        floor = _COST_FLOOR * problem.range ** _COST_EXPONENT[self.norm]
        return gradients * change / (costs + floor)


def _best_pixel(problem, flat, values, allowed, rates, proposals):
    """Of the most promising changes the one that the model likes best.

    Returns:
        bool `(batch, pixels)`: the pixel to change, or none.
    """
    _, pixels = tf.math.top_k(rates, min(proposals, problem.pixels))
    hot = tf.one_hot(
        pixels, problem.pixels, on_value=True, off_value=False, dtype=tf.bool
    )
    hot &= allowed[:, None]
    tried = tf.where(hot, values[:, None], flat[:, None])
    margins = problem.margin(problem.scores(tried))
    good = tf.reduce_any(hot, 2) & tf.math.is_finite(margins)
    best = tf.argmax(tf.where(good, margins, margins.dtype.min), 1)
    return tf.gather(hot, best, batch_dims=1)
