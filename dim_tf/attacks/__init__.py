"""Attacks native in TensorFlow, under the names that foolbox gives them.

Who uses foolbox changes an import:

    from dim_tf import attacks  # instead of foolbox.attacks

    attack = attacks.LinfPGD()
    raw, clipped, success = attack(fmodel, images, labels, epsilons=[0.1, 0.3])

Hyper-parameters are named as there. Of what it has, this lacks: the variants of
gradient descent that step by Adam, GenAttack and the spatial attack; and the
parameters `init_attack` (starting points are found by blending with noise, or
given by `starting_points=`), `tensorboard`, FMN's `starting_points` and
`binary_search_steps`, HopSkipJump's `stepsize_search` and Pointwise's
`l2_binary_search`. Beyond it there are, among others, the four of AutoAttack:
`AutoPGDAttack`, `TargetedAutoPGDAttack`, `FABAttack` and `SquareAttack`.
"""

from dim_tf.attacks.additive_noise import L2AdditiveGaussianNoiseAttack
from dim_tf.attacks.additive_noise import L2AdditiveUniformNoiseAttack
from dim_tf.attacks.additive_noise import (
    L2ClippingAwareAdditiveGaussianNoiseAttack,
)
from dim_tf.attacks.additive_noise import (
    L2ClippingAwareAdditiveUniformNoiseAttack,
)
from dim_tf.attacks.additive_noise import (
    L2ClippingAwareRepeatedAdditiveGaussianNoiseAttack,
)
from dim_tf.attacks.additive_noise import (
    L2ClippingAwareRepeatedAdditiveUniformNoiseAttack,
)
from dim_tf.attacks.additive_noise import L2RepeatedAdditiveGaussianNoiseAttack
from dim_tf.attacks.additive_noise import L2RepeatedAdditiveUniformNoiseAttack
from dim_tf.attacks.additive_noise import LinfAdditiveUniformNoiseAttack
from dim_tf.attacks.additive_noise import LinfRepeatedAdditiveUniformNoiseAttack
from dim_tf.attacks.auto_pgd import AutoPGDAttack
from dim_tf.attacks.auto_pgd import TargetedAutoPGDAttack
from dim_tf.attacks.binarization import BinarizationRefinementAttack
from dim_tf.attacks.blended_noise import LinearSearchBlendedUniformNoiseAttack
from dim_tf.attacks.blur import GaussianBlurAttack
from dim_tf.attacks.boundary import BoundaryAttack
from dim_tf.attacks.brendel_bethge import L0BrendelBethgeAttack
from dim_tf.attacks.brendel_bethge import L1BrendelBethgeAttack
from dim_tf.attacks.brendel_bethge import L2BrendelBethgeAttack
from dim_tf.attacks.brendel_bethge import LinfinityBrendelBethgeAttack
from dim_tf.attacks.carlini_wagner import L2CarliniWagnerAttack
from dim_tf.attacks.contrast import BinarySearchContrastReductionAttack
from dim_tf.attacks.contrast import L2ContrastReductionAttack
from dim_tf.attacks.contrast import LinearSearchContrastReductionAttack
from dim_tf.attacks.criteria import MarginMisclassification
from dim_tf.attacks.dataset import DatasetAttack
from dim_tf.attacks.ddn import DDNAttack
from dim_tf.attacks.decaying_descent import DecayingDescentAttack
from dim_tf.attacks.deepfool import L2DeepFoolAttack
from dim_tf.attacks.deepfool import LinfDeepFoolAttack
from dim_tf.attacks.elastic_net import EADAttack
from dim_tf.attacks.fab import FABAttack
from dim_tf.attacks.fast_minimum_norm import L0FMNAttack
from dim_tf.attacks.fast_minimum_norm import L1FMNAttack
from dim_tf.attacks.fast_minimum_norm import L2FMNAttack
from dim_tf.attacks.fast_minimum_norm import LInfFMNAttack
from dim_tf.attacks.flexible import InversionAttack
from dim_tf.attacks.gradient_descent import L1BasicIterativeAttack
from dim_tf.attacks.gradient_descent import L1FastGradientAttack
from dim_tf.attacks.gradient_descent import L1ProjectedGradientDescentAttack
from dim_tf.attacks.gradient_descent import L2BasicIterativeAttack
from dim_tf.attacks.gradient_descent import L2FastGradientAttack
from dim_tf.attacks.gradient_descent import L2ProjectedGradientDescentAttack
from dim_tf.attacks.gradient_descent import LinfBasicIterativeAttack
from dim_tf.attacks.gradient_descent import LinfFastGradientAttack
from dim_tf.attacks.gradient_descent import LinfProjectedGradientDescentAttack
from dim_tf.attacks.gradient_descent import SparseL1DescentAttack
from dim_tf.attacks.greedy_pixels import GreedyPixelsAttack
from dim_tf.attacks.hop_skip_jump import HopSkipJumpAttack
from dim_tf.attacks.latent_descent import LatentDescentAttack
from dim_tf.attacks.momentum import L1MomentumIterativeFastGradientMethod
from dim_tf.attacks.momentum import L2MomentumIterativeFastGradientMethod
from dim_tf.attacks.momentum import LinfMomentumIterativeFastGradientMethod
from dim_tf.attacks.newton_fool import NewtonFoolAttack
from dim_tf.attacks.pointwise import PointwiseAttack
from dim_tf.attacks.salt_and_pepper import SaltAndPepperNoiseAttack
from dim_tf.attacks.square import SquareAttack
from dim_tf.attacks.virtual_adversarial import VirtualAdversarialAttack

FGM = L2FastGradientAttack
FGSM = LinfFastGradientAttack
L1PGD = L1ProjectedGradientDescentAttack
L2PGD = L2ProjectedGradientDescentAttack
LinfPGD = LinfProjectedGradientDescentAttack
MIFGSM = LinfMomentumIterativeFastGradientMethod
PGD = LinfProjectedGradientDescentAttack

__all__ = [
    "AutoPGDAttack",
    "BinarizationRefinementAttack",
    "BinarySearchContrastReductionAttack",
    "BoundaryAttack",
    "DDNAttack",
    "DatasetAttack",
    "DecayingDescentAttack",
    "EADAttack",
    "FABAttack",
    "FGM",
    "FGSM",
    "GaussianBlurAttack",
    "GreedyPixelsAttack",
    "HopSkipJumpAttack",
    "InversionAttack",
    "L0BrendelBethgeAttack",
    "L0FMNAttack",
    "L1BasicIterativeAttack",
    "L1BrendelBethgeAttack",
    "L1FMNAttack",
    "L1FastGradientAttack",
    "L1MomentumIterativeFastGradientMethod",
    "L1PGD",
    "L1ProjectedGradientDescentAttack",
    "L2AdditiveGaussianNoiseAttack",
    "L2AdditiveUniformNoiseAttack",
    "L2BasicIterativeAttack",
    "L2BrendelBethgeAttack",
    "L2CarliniWagnerAttack",
    "L2ClippingAwareAdditiveGaussianNoiseAttack",
    "L2ClippingAwareAdditiveUniformNoiseAttack",
    "L2ClippingAwareRepeatedAdditiveGaussianNoiseAttack",
    "L2ClippingAwareRepeatedAdditiveUniformNoiseAttack",
    "L2ContrastReductionAttack",
    "L2DeepFoolAttack",
    "L2FMNAttack",
    "L2FastGradientAttack",
    "L2MomentumIterativeFastGradientMethod",
    "L2PGD",
    "L2ProjectedGradientDescentAttack",
    "L2RepeatedAdditiveGaussianNoiseAttack",
    "L2RepeatedAdditiveUniformNoiseAttack",
    "LInfFMNAttack",
    "LatentDescentAttack",
    "LinearSearchBlendedUniformNoiseAttack",
    "LinearSearchContrastReductionAttack",
    "LinfAdditiveUniformNoiseAttack",
    "LinfBasicIterativeAttack",
    "LinfDeepFoolAttack",
    "LinfFastGradientAttack",
    "LinfMomentumIterativeFastGradientMethod",
    "LinfPGD",
    "LinfProjectedGradientDescentAttack",
    "LinfRepeatedAdditiveUniformNoiseAttack",
    "LinfinityBrendelBethgeAttack",
    "MIFGSM",
    "MarginMisclassification",
    "NewtonFoolAttack",
    "PGD",
    "PointwiseAttack",
    "SaltAndPepperNoiseAttack",
    "SparseL1DescentAttack",
    "SquareAttack",
    "TargetedAutoPGDAttack",
    "VirtualAdversarialAttack",
]
