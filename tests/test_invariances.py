"""What must not matter to an attack: units, classes out of the race, XLA."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf
from tiny_nets import NET
from tiny_nets import foolbox_model

from dim_tf import attacks
from dim_tf.attacks import samples
from dim_tf.attacks.adaptor import FixedEpsilon

# Around 0, and of a width that rounds nothing of such images.
BOUNDS = (-128.0, 128.0)
IMAGES = tf.round(256.0 * NET.images) / 256.0
EPSILONS = {"l1": 6.0, "l2": 1.2, "linf": 0.2}
CONSTANTS = {"binary_search_steps": 3, "steps": 20, "initial_const": 0.1}
MINIMIZATIONS = (
    attacks.BinarySearchContrastReductionAttack(target=0.9),
    attacks.BoundaryAttack(steps=20),
    attacks.DDNAttack(steps=20),
    attacks.EADAttack(**CONSTANTS),
    attacks.FABAttack(norm="l1", steps=20),
    attacks.FABAttack(norm="l2", steps=20),
    attacks.FABAttack(norm="linf", steps=20),
    attacks.GaussianBlurAttack(steps=20),
    attacks.HopSkipJumpAttack(steps=5),
    attacks.InversionAttack(),
    attacks.L0BrendelBethgeAttack(steps=20),
    attacks.L0FMNAttack(steps=20),
    attacks.L1BrendelBethgeAttack(steps=20),
    # With a few steps more, a rounding decides where one sample ends.
    attacks.L1FMNAttack(steps=15),
    attacks.L2BrendelBethgeAttack(steps=20),
    attacks.L2CarliniWagnerAttack(**CONSTANTS, stepsize=0.1),
    attacks.L2DeepFoolAttack(),
    attacks.L2FMNAttack(steps=20),
    attacks.LInfFMNAttack(steps=20),
    attacks.LinearSearchBlendedUniformNoiseAttack(steps=20),
    attacks.LinearSearchContrastReductionAttack(steps=20, target=0.9),
    attacks.LinfDeepFoolAttack(),
    attacks.LinfinityBrendelBethgeAttack(steps=20),
    attacks.NewtonFoolAttack(steps=20),
    attacks.PointwiseAttack(),
    attacks.SaltAndPepperNoiseAttack(steps=20),
)
WITHIN_EPSILON = (
    attacks.AutoPGDAttack(norm="l1", steps=20),
    attacks.AutoPGDAttack(norm="l2", steps=20),
    attacks.AutoPGDAttack(norm="linf", steps=20),
    attacks.DecayingDescentAttack(norm="l2", steps=20),
    attacks.L1BasicIterativeAttack(),
    attacks.L2AdditiveGaussianNoiseAttack(),
    attacks.L2ClippingAwareAdditiveUniformNoiseAttack(),
    attacks.L2ContrastReductionAttack(),
    attacks.L2ProjectedGradientDescentAttack(steps=20),
    attacks.LinfAdditiveUniformNoiseAttack(),
    attacks.LinfFastGradientAttack(),
    attacks.LinfMomentumIterativeFastGradientMethod(),
    attacks.SparseL1DescentAttack(),
    attacks.SquareAttack(norm="l1", queries=50),
    attacks.SquareAttack(norm="l2", queries=50),
    attacks.SquareAttack(norm="linf", queries=50),
    attacks.TargetedAutoPGDAttack(norm="l1", steps=20),
    attacks.TargetedAutoPGDAttack(norm="l2", steps=20),
    # Fewer for the same reason.
    attacks.TargetedAutoPGDAttack(norm="linf", steps=15),
    attacks.VirtualAdversarialAttack(steps=5, xi=1.0),
)


each_attack = pytest.mark.parametrize(
    "attack", [*MINIMIZATIONS, *WITHIN_EPSILON], ids=lambda a: type(a).__name__
)


@pytest.fixture(autouse=True)
def seeds_of_places(monkeypatch):
    """Seeds that follow an image's place: its pixels have several units."""
    rows = np.arange(2 * len(IMAGES), dtype=np.int32).reshape(-1, 2)
    monkeypatch.setattr(samples, "_seeds", lambda flat, seed: rows[: len(flat)])


def result(attack, score, bounds=(0.0, 1.0)):
    """Adversarials, as if the bounds were 0 and 1, and success."""
    lower, upper = bounds
    width = upper - lower
    _, adversarials, success = attack(
        foolbox_model(lambda images: score((images - lower) / width), bounds),
        IMAGES * width + lower,
        NET.labels,
        epsilons=(
            width * EPSILONS[attack.norm]
            if isinstance(attack, FixedEpsilon)
            else None
        ),
    )
    return (adversarials.numpy() - lower) / width, success.numpy()


@functools.cache
def known(attack):
    return result(attack, NET)


@each_attack
def test_other_bounds_change_nothing_but_the_unit(attack):
    first, success = known(attack)
    # NewtonFool's steps are shares of an image's size, which starts from 0.
    whole = isinstance(attack, attacks.NewtonFoolAttack)
    second, also = result(attack, NET, (0.0, 256.0) if whole else BOUNDS)
    np.testing.assert_allclose(second, first, 0, 1e-4)
    np.testing.assert_array_equal(also, success)
    assert (first != IMAGES.numpy()).any()


@each_attack
def test_classes_that_are_masked_out_change_nothing(attack):
    def masked(images):
        scores = NET(images)
        for score in (-1e9, -np.inf):
            scores = tf.pad(scores, [[0, 0], [0, 1]], constant_values=score)
        return scores

    first, success = known(attack)
    second, also = result(attack, masked)
    np.testing.assert_allclose(second, first, atol=1e-6)
    np.testing.assert_array_equal(also, success)


@each_attack
def test_xla_answers_the_same(attack):
    first, success = known(attack)
    second, also = result(dataclasses.replace(attack, jit_compile=True), NET)
    np.testing.assert_allclose(second, first, atol=1e-4)
    np.testing.assert_array_equal(also, success)
