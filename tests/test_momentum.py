import foolbox
import numpy as np
import pytest
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows_are_independent

from dim_tf.attacks import gradient_descent
from dim_tf.attacks import momentum

EPSILONS = {"L1": [0.5, 2.0], "L2": [0.2, 0.8], "Linf": [0.05, 0.15]}
NORMS = pytest.mark.parametrize("norm", EPSILONS)


def ours(norm, **settings):
    name = f"{norm}MomentumIterativeFastGradientMethod"
    return getattr(momentum, name)(**settings)


@NORMS
@pytest.mark.parametrize("targeted", [False, True])
def test_the_steps_are_foolbox_s(norm, targeted):
    theirs = getattr(
        foolbox.attacks.mi_fgsm, f"{norm}MomentumIterativeFastGradientMethod"
    )
    criterion = NET.labels
    if targeted:
        criterion = foolbox.criteria.TargetedMisclassification(
            (NET.labels + 1) % 3
        )
    for epsilon in EPSILONS[norm]:
        call = (MODEL, NET.images, criterion)
        expected, _, _ = theirs(momentum=0.9)(*call, epsilons=epsilon)
        raw, _, _ = ours(norm, momentum=0.9)(*call, epsilons=epsilon)
        # foolbox subtracts a probability from one, and loses digits.
        np.testing.assert_allclose(raw, expected, 0, 1e-4)


@NORMS
def test_without_momentum_it_is_basic_iteration(norm):
    epsilon = EPSILONS[norm][1]
    plain = getattr(gradient_descent, f"{norm}BasicIterativeAttack")()
    call = (MODEL, NET.images, NET.labels)
    expected, _, _ = plain(*call, epsilons=epsilon)
    raw, _, _ = ours(norm, momentum=0.0)(*call, epsilons=epsilon)
    np.testing.assert_allclose(raw, expected, 0, 1e-6)
    with_momentum, _, _ = ours(norm)(*call, epsilons=epsilon)
    assert np.abs(with_momentum - expected).max() > 1e-3


@NORMS
@pytest.mark.parametrize("random_start", [False, True])
def test_neighbors_change_nothing(norm, random_start):
    attack = ours(norm, random_start=random_start)
    check_rows_are_independent(attack, EPSILONS[norm][0])
