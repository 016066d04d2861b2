"""The elastic-net attack: sparse by shrinking, fast by looking ahead."""

from typing import ClassVar

import tensorflow as tf

from dim_tf.attacks import checks
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.constant_search import ConstantSearch

_RULES = ("EN", "L1")


@frozen
class EADAttack(ConstantSearch):
    """Accelerated proximal descent (FISTA) on the elastic net and the margin.

    Source: Chen et al., "EAD: elastic-net attacks to deep neural networks via
    adversarial examples" (2018). Like foolbox, and unlike the paper, it
    shrinks by `regularization` in every step, however short. How it differs
    from foolbox is said of the base.

    Attributes:
        initial_stepsize: length of the first step; it falls as a square root.
        regularization: weight of the L1 norm.
        decision_rule: which success is the best: `"EN"`, the smallest elastic
            net, or `"L1"`, the smallest L1 norm.
    """

    norm: ClassVar[str] = "l1"
    variables: ClassVar[tuple[str, ...]] = ("iterate", "ahead")
    initial_stepsize: float = 0.01
    regularization: float = 0.01
    decision_rule: str = "EN"

    def __post_init__(self):
        super().__post_init__()
        checks.one_of("decision_rule", self.decision_rule, _RULES)

    def begin(self, problem):
        return {"iterate": problem.images, "ahead": problem.images}

    def point(self, problem, variables):
        return variables["ahead"]

    def move(self, problem, variables, flat, gradients, step):
        left = tf.maximum(1.0 - step / self.steps, 0.0)
        stepsize = self.initial_stepsize * tf.sqrt(left) * problem.range**2
        stepped = flat - stepsize * gradients
        change = stepped - problem.images
        least = self.regularization * problem.range
        shrunk = change - tf.clip_by_value(change, -least, least)
        iterate = problem.clip(problem.images + shrunk)
        momentum = step / (step + 3.0)
        return {
            "iterate": iterate,
            "ahead": iterate + momentum * (iterate - variables["iterate"]),
        }

    def candidates(self, problem, flat, scores, moved):
        return moved["iterate"], problem.scores(moved["iterate"])

    def size(self, changes):
        l1 = tf.reduce_sum(tf.abs(changes), 1)
        if self.decision_rule == "L1":
            return l1
        return self.regularization * l1 + tf.reduce_sum(tf.square(changes), 1)
