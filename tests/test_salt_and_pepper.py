import itertools

import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import constant
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows
from tiny_nets import check_rows_are_independent
from tiny_nets import draw_like_ours
from tiny_nets import final_state
from tiny_nets import foolbox_model
from tiny_nets import foolbox_result

from dim_tf.attacks import splitmix
from dim_tf.attacks.salt_and_pepper import SaltAndPepperNoiseAttack
from dim_tf.attacks.salt_and_pepper import SparseSaltAndPepper


def test_every_try_is_foolbox_s(monkeypatch):
    attack, first = SaltAndPepperNoiseAttack(steps=60), slice(0, 1)
    seeds = check_rows(attack, first).rows["seeds"]
    tries = itertools.count()
    draw_like_ours(monkeypatch, seeds, lambda shape: [next(tries)])
    expected = foolbox_result(
        foolbox.attacks.SaltAndPepperNoiseAttack(steps=60), first
    )
    state = final_state(attack, first)
    np.testing.assert_allclose(state["result"], expected, 0, 1e-6)
    # There were several successes, each from a lower ladder.
    assert state["ladders"][0] >= 3


def search_of_foolbox_2(image, label, seeds):
    """Four ladders of twenty levels, one after the other, in NumPy."""
    clean = image.numpy().ravel()
    best, closest, top = clean, np.inf, 1.0
    tries = itertools.count()
    for _ in range(4):
        for level in np.linspace(0, top, 21)[1:]:
            noise = splitmix.uniform(seeds, PIXELS, next(tries)).numpy()[0]
            noisy = np.where(noise >= 1 - level / 2, 1, clean)
            noisy = np.where(noise < level / 2, 0, noisy).astype(np.float32)
            changed = (noisy != clean).sum()
            if changed >= closest:
                continue
            if np.argmax(NET(noisy[None])) != label:
                best, closest, top = noisy, changed, min(1, 1.2 * level)
                break
    return best


def test_the_sparse_search_is_that_of_foolbox_2():
    attack = SparseSaltAndPepper(levels=20, repetitions=4)
    seeds = check_rows(attack).rows["seeds"]
    result = final_state(attack)["result"]
    for row in range(2):
        expected = search_of_foolbox_2(
            NET.images[row], NET.labels[row], seeds[row : row + 1]
        )
        np.testing.assert_array_equal(result[row], expected)


@pytest.mark.parametrize(
    "kind", [SaltAndPepperNoiseAttack, SparseSaltAndPepper]
)
def test_neighbors_change_nothing(kind):
    changes = check_rows_are_independent(kind())
    assert not changes[1].any()


@pytest.mark.parametrize(
    ("settings", "together"),
    [
        ({}, True),
        ({"channel_axis": 3}, True),
        ({"across_channels": False}, False),
    ],
)
def test_channels_turn_together(settings, together):
    def dark(images):
        mean = tf.reduce_mean(images, (1, 2, 3))
        return tf.stack([mean, 0.9 - mean], 1)

    images = np.full((2, 4, 4, 3), 0.5, np.float32)
    attack = SaltAndPepperNoiseAttack(steps=100, **settings)
    adversarials, _, success = attack(
        foolbox_model(dark), images, np.zeros(2, int), epsilons=None
    )
    assert success.numpy().all()
    changed = (adversarials.numpy() != images).sum(-1)
    assert set(np.unique(changed)) <= ({0, 3} if together else {0, 1, 2, 3})
    assert together or (changed % 3).any()


def test_a_target_is_reached():
    classes = (NET.labels + 1) % 3
    criterion = foolbox.criteria.TargetedMisclassification(classes)
    adversarials, _, success = SaltAndPepperNoiseAttack()(
        MODEL, NET.images, criterion, epsilons=None
    )
    assert success.numpy().any()
    np.testing.assert_array_equal(
        tf.argmax(NET(adversarials), 1) == classes, success
    )


def test_without_success_the_result_is_the_image():
    attack = SparseSaltAndPepper(levels=10, repetitions=3)
    adversarials, _, success = attack(
        foolbox_model(constant), NET.images, np.zeros(8, int), epsilons=None
    )
    assert not success.numpy().any()
    np.testing.assert_array_equal(adversarials, NET.images)


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (SaltAndPepperNoiseAttack, "steps"),
        (SparseSaltAndPepper, "levels"),
        (SparseSaltAndPepper, "repetitions"),
    ],
)
def test_settings_are_checked(kind, setting):
    with pytest.raises(ValueError, match=f"{setting} must be at least 1"):
        kind(**{setting: 0})
