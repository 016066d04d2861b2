"""Passes are counted one by one, compiled or not."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from tiny_nets import NET

from dim_tf.attacks.ddn import DDNAttack
from dim_tf.attacks.deepfool import L2DeepFoolAttack
from dim_tf.evaluation import counting


def certain(images):
    """Ten classes, of which the first is out of reach of the others."""
    bright = tf.reduce_sum(tf.reshape(images, (-1, PIXELS)), 1, keepdims=True)
    return bright * tf.range(10.0) + tf.one_hot([0], 10, 1e6)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    ("attack", "per_image"),
    [
        # After its steps it looks once more whether it has arrived.
        (L2DeepFoolAttack(steps=2), 3 * 9),
        (L2DeepFoolAttack(steps=2, candidates=4), 3 * 3),
        (DDNAttack(steps=2), 2),
    ],
    ids=str,
)
def test_every_gradient_of_an_attack_is_counted(attack, per_image, jit_compile):
    counter = counting.Counter()
    attack = dataclasses.replace(attack, jit_compile=jit_compile)
    attack(
        counter.wrap(certain),
        NET.images,
        np.zeros(len(NET.images), int),
        epsilons=None,
    )
    assert counter.take()[1] == per_image * len(NET.images)
