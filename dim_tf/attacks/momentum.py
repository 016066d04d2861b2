"""Gradient descent with momentum within a ball: MI-FGSM in L1, L2 and Linf.

Source: Dong et al., "Boosting adversarial attacks with momentum" (2018). As in
foolbox, gradients are scaled to unit size in the attack's own norm before they
are summed, where the paper scales them in L1.
"""

from typing import ClassVar

from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.gradient_descent import BasicIterative


@frozen
class MomentumIterative(BasicIterative):
    """Steps along the sum of all gradients so far, back into the ball.

    Attributes:
        momentum: factor by which earlier gradients fade with every step.
    """

    momentum: float = 1.0

    def steer(self, direction, memory):
        memory = self.momentum * memory + direction
        return self.ball.direction(memory), memory


class L1MomentumIterativeFastGradientMethod(MomentumIterative):
    """Gradient descent with momentum in L1."""

    norm: ClassVar[str] = "l1"


class L2MomentumIterativeFastGradientMethod(MomentumIterative):
    """Gradient descent with momentum in L2."""

    norm: ClassVar[str] = "l2"


class LinfMomentumIterativeFastGradientMethod(MomentumIterative):
    """Gradient descent with momentum in Linf (MI-FGSM)."""

    norm: ClassVar[str] = "linf"
