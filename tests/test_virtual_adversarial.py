import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import constant
from closed_forms import flat
from closed_forms import linear
from closed_forms import sizes
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows
from tiny_nets import check_rows_are_independent
from tiny_nets import draw_like_ours
from tiny_nets import foolbox_model

from dim_tf.attacks.virtual_adversarial import VirtualAdversarialAttack


@pytest.mark.parametrize("steps", [1, 5])
def test_the_steps_are_foolbox_s(monkeypatch, steps):
    # Shorter steps than this one are mostly rounding, and even these have few
    # digits: the same sums in another order differ by 3e-5.
    attack = VirtualAdversarialAttack(steps=steps, xi=0.1)
    seeds = check_rows(attack).rows["seeds"]
    draw_like_ours(monkeypatch, seeds, lambda shape: [])
    twin = foolbox.attacks.VirtualAdversarialAttack(steps=steps, xi=0.1)
    for epsilon in (0.5, 2.0):
        expected, adversarials = (
            each.run(MODEL, NET.images, NET.labels, epsilon=epsilon)
            for each in (twin, attack)
        )
        np.testing.assert_allclose(adversarials, expected, 0, 1e-4)


def test_it_finds_the_only_direction_of_a_linear_model():
    weights = np.linspace(-1, 1, PIXELS).astype(np.float32)
    images = np.full((3, 6, 6, 1), 0.5, np.float32)
    offset = images[0].ravel() @ weights + 0.5
    attack = VirtualAdversarialAttack(steps=1, xi=0.01)
    adversarials, _, _ = attack(
        foolbox_model(linear(weights, offset)),
        images,
        np.zeros(3, int),
        epsilons=0.3,
    )
    changes = (adversarials.numpy() - images).reshape(3, PIXELS)
    cosines = changes @ weights / 0.3 / np.linalg.norm(weights)
    np.testing.assert_allclose(np.abs(cosines), 1.0, 0, 1e-3)


def test_neighbors_change_nothing():
    # Differences of probabilities near 1 have few digits.
    check_rows_are_independent(
        VirtualAdversarialAttack(steps=3, xi=1.0),
        epsilons=2.0,
        tolerance=1e-4,
    )


def test_without_a_gradient_the_direction_stays_random():
    for score in (flat, constant):
        labels = tf.argmax(score(NET.images), 1)
        raw, clipped, success = VirtualAdversarialAttack(steps=2)(
            foolbox_model(score), NET.images, labels, epsilons=0.5
        )
        assert not success.numpy().any()
        changes = sizes("l2", (raw - NET.images).numpy())
        assert (changes > 0.1).all()
        assert (changes < 0.5 + 1e-6).all()
        np.testing.assert_array_equal(raw, clipped)


def test_what_it_cannot_do():
    with pytest.raises(ValueError, match="steps must be at least 0, got -1"):
        VirtualAdversarialAttack(steps=-1)
    attack = VirtualAdversarialAttack(steps=1)
    criterion = foolbox.criteria.TargetedMisclassification(NET.labels)
    with pytest.raises(ValueError, match="no targeted form"):
        attack(MODEL, NET.images, criterion, epsilons=1.0)
    with pytest.raises(NotImplementedError, match="needs an epsilon"):
        attack(MODEL, NET.images, NET.labels, epsilons=None)
