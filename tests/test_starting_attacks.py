"""What all attacks share that walk from an adversarial toward the image."""

import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import constant
from closed_forms import sizes
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import foolbox_model

from dim_tf import attacks
from dim_tf.attacks.adaptor import Native

ATTACKS = (
    attacks.BoundaryAttack(steps=200, update_stats_every_k=1),
    attacks.HopSkipJumpAttack(steps=4, initial_gradient_eval_steps=45),
    attacks.L0BrendelBethgeAttack(steps=30),
    attacks.L1BrendelBethgeAttack(steps=30),
    attacks.L2BrendelBethgeAttack(steps=30),
    attacks.LinfinityBrendelBethgeAttack(steps=30),
    attacks.PointwiseAttack(),
)
EVERY = pytest.mark.parametrize(
    "attack", ATTACKS, ids=lambda attack: type(attack).__name__
)


def test_none_is_left_out():
    found = {
        kind
        for kind in vars(attacks).values()
        if isinstance(kind, type)
        and issubclass(kind, Native)
        and kind.supports_starting_points
    }
    # Which refines what others find, and walks nowhere.
    found.remove(attacks.BinarizationRefinementAttack)
    assert found == set(map(type, ATTACKS))


@EVERY
def test_a_target_is_reached(attack):
    targets = tf.argmax(NET(NET.others), 1)
    criterion = foolbox.criteria.TargetedMisclassification(targets)
    adversarials, _, success = attack(
        MODEL,
        NET.images,
        criterion,
        epsilons=None,
        starting_points=NET.others,
    )
    assert success.numpy().all()
    np.testing.assert_array_equal(tf.argmax(NET(adversarials), 1), targets)
    near = sizes(attack.norm, adversarials.numpy() - NET.images)
    far = sizes(attack.norm, NET.others.numpy() - NET.images)
    assert (near < 0.6 * far).all()


@EVERY
def test_without_a_starting_point_it_fails_with_the_image_itself(attack):
    adversarials, _, success = attack(
        foolbox_model(constant), NET.images, np.zeros(8, int), epsilons=None
    )
    assert not success.numpy().any()
    np.testing.assert_array_equal(adversarials, NET.images)
