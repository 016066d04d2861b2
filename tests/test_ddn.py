import math
import types

import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import flat
from closed_forms import sizes
from closed_forms import sizes_over_optimum
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows_are_independent
from tiny_nets import foolbox_model
from tiny_nets import foolbox_result

from dim_tf.attacks.ddn import DDNAttack

# foolbox subtracts a probability from one, and has few digits left of the rest.
ROUNDING = 1e-3
TWIN = foolbox.attacks.DDNAttack
OLD = DDNAttack(steps=10, schedule="compounding")


def run(attack, model=MODEL, criterion=NET.labels):
    """Flattened adversarials, and success."""
    adversarials, _, success = attack(
        model, NET.images, criterion, epsilons=None
    )
    return adversarials.numpy().reshape(-1, PIXELS), success.numpy()


def test_defaults_are_foolbox_s():
    ours = DDNAttack()
    assert ours.schedule == "cosine"
    for name, value in vars(TWIN()).items():
        assert getattr(ours, name) == value, name


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"steps": 10, "init_epsilon": 8},
        {"steps": 20, "gamma": 0.2},
    ],
)
def test_the_steps_are_foolbox_s(settings):
    expected = foolbox_result(TWIN(**settings))
    adversarials, success = run(DDNAttack(**settings))
    assert success.any()
    np.testing.assert_allclose(adversarials, expected, 0, ROUNDING)


def test_toward_targets_the_steps_are_foolbox_s():
    targets = (NET.labels + 1) % 3
    criterion = foolbox.criteria.TargetedMisclassification(targets)
    expected = TWIN(steps=30).run(MODEL, NET.images, criterion)
    adversarials, success = run(DDNAttack(steps=30), criterion=criterion)
    assert success.all()
    np.testing.assert_allclose(
        adversarials, np.reshape(expected, adversarials.shape), 0, 1e-5
    )


def test_the_old_schedule_compounds(monkeypatch):
    stepsizes = OLD.stepsizes()
    np.testing.assert_allclose(
        stepsizes,
        [1, 0.976, 0.884, 0.704, 0.464, 0.237, 0.088, 0.026, 0.0115, 0.010],
        0,
        6e-4,
    )
    # foolbox asks for a cosine in every step, and for nothing else.
    cosines = iter([2 * (size - 0.01) / 0.99 - 1 for size in stepsizes])
    monkeypatch.setattr(
        foolbox.attacks.ddn,
        "math",
        types.SimpleNamespace(pi=math.pi, cos=lambda angle: next(cosines)),
    )
    expected = foolbox_result(TWIN(steps=10))
    adversarials, success = run(OLD)
    assert success.any()
    np.testing.assert_allclose(adversarials, expected, 0, ROUNDING)


def test_it_finds_the_plane_of_a_linear_model():
    ratios = sizes_over_optimum(DDNAttack())
    assert ratios.min() >= 1 - 1e-5
    assert ratios.max() < 1.01


def test_neighbors_change_nothing():
    changes = check_rows_are_independent(DDNAttack(init_epsilon=2.0))
    assert not changes[1].any()
    assert changes[0].any()


def test_without_a_gradient_it_tries_random_directions():
    def opaque(images):
        return tf.stop_gradient(NET(images))

    attack = DDNAttack(init_epsilon=8.0, steps=30)
    model = foolbox_model(opaque)
    adversarials, success = run(attack, model)
    assert success.any()
    changes = adversarials - NET.images.numpy().reshape(-1, PIXELS)
    assert len(np.unique(sizes("l2", changes[success]))) == success.sum()
    backward, _, _ = attack(
        model, NET.images[::-1], NET.labels[::-1], epsilons=None
    )
    np.testing.assert_array_equal(
        np.reshape(backward, (-1, PIXELS))[::-1], adversarials
    )
    other, _ = run(DDNAttack(init_epsilon=8.0, steps=30, seed=1), model)
    assert (other != adversarials).any()


def test_a_failure_is_the_image_itself():
    adversarials, success = run(
        DDNAttack(), foolbox_model(flat), np.zeros(len(NET.labels), int)
    )
    assert not success.any()
    np.testing.assert_array_equal(
        adversarials, tf.reshape(NET.images, (-1, PIXELS))
    )


def test_settings_are_checked():
    with pytest.raises(ValueError, match="schedule must be one of compoundi"):
        DDNAttack(schedule="linear")
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        DDNAttack(steps=0)
