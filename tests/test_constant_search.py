import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import constant
from closed_forms import flat
from closed_forms import sizes
from closed_forms import sizes_over_optimum
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows_are_independent
from tiny_nets import foolbox_model

from dim_tf.attacks.carlini_wagner import L2CarliniWagnerAttack
from dim_tf.attacks.elastic_net import EADAttack

# Long steps, few of them.
SHORT = {
    L2CarliniWagnerAttack: {"stepsize": 0.1, "steps": 20},
    EADAttack: {"initial_stepsize": 0.1, "steps": 20},
}
TWINS = {
    L2CarliniWagnerAttack: foolbox.attacks.L2CarliniWagnerAttack,
    EADAttack: foolbox.attacks.EADAttack,
}
KINDS = pytest.mark.parametrize("kind", [L2CarliniWagnerAttack, EADAttack])
TARGETS = foolbox.criteria.TargetedMisclassification((NET.labels + 1) % 3)


def run(kind, criterion=NET.labels, score=None, **settings):
    """Adversarials and success."""
    model = MODEL if score is None else foolbox_model(score)
    attack = kind(**{**SHORT[kind], **settings})
    adversarials, _, success = attack(
        model, NET.images, criterion, epsilons=None
    )
    return adversarials.numpy(), success.numpy()


def run_foolbox(kind, rows=slice(None), criterion=None, **settings):
    """foolbox's adversarials, its black images replaced by the images."""
    attack = TWINS[kind](**{**SHORT[kind], **settings})
    images = NET.images[rows]
    criterion = NET.labels[rows] if criterion is None else criterion
    adversarials = attack.run(MODEL, images, criterion).numpy()
    failed = (adversarials == 0).all((1, 2, 3), keepdims=True)
    return np.where(failed, images, adversarials)


# The last tenth of the steps is a short one.
SHORT_TENTH = {"initial_const": 0.3, "binary_search_steps": 4, "steps": 23}
# The last one of so many constants is a large one.
MANY_CONSTANTS = {"initial_const": 0.01, "binary_search_steps": 10, "steps": 6}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (L2CarliniWagnerAttack, SHORT_TENTH),
        (EADAttack, SHORT_TENTH),
        (EADAttack, MANY_CONSTANTS),
    ],
)
def test_without_an_abort_the_steps_are_foolbox_s(kind, settings):
    settings = {**settings, "abort_early": False}
    expected = run_foolbox(kind, **settings)
    adversarials, success = run(kind, **settings)
    assert success.any()
    np.testing.assert_allclose(adversarials, expected, 0, 1e-5)


@KINDS
def test_toward_targets_the_steps_are_foolbox_s(kind):
    settings = {"initial_const": 1.0, "binary_search_steps": 3}
    settings |= {"abort_early": False, "confidence": 0.5}
    expected = run_foolbox(kind, criterion=TARGETS, **settings)
    adversarials, success = run(kind, TARGETS, **settings)
    ordered = np.sort(NET(adversarials[success]), 1)
    assert len(ordered) and (ordered[:, -1] - ordered[:, -2] >= 0.5).all()
    np.testing.assert_allclose(adversarials, expected, 0, 1e-5)


@KINDS
def test_each_sample_aborts_as_in_foolbox_alone(kind):
    settings = {"initial_const": 0.3, "binary_search_steps": 4}
    adversarials, _ = run(kind, **settings)
    rows = [0, 5]
    expected = [
        run_foolbox(kind, slice(row, row + 1), **settings)[0] for row in rows
    ]
    np.testing.assert_allclose(adversarials[rows], expected, 0, 1e-5)
    patient, _ = run(kind, **settings, abort_early=False)
    together = run_foolbox(kind, **settings)
    for other in (patient, together):
        assert np.abs(other[rows] - adversarials[rows]).max() > 1e-3


def test_progress_counts_from_the_image_of_every_descent():
    # Steps so long that most descents only get away from the image.
    settings = {"initial_const": 0.01, "binary_search_steps": 3}
    settings["initial_stepsize"] = 0.5
    adversarials, success = run(EADAttack, **settings)
    assert success[0]
    expected = run_foolbox(EADAttack, slice(0, 1), **settings)
    np.testing.assert_allclose(adversarials[:1], expected, 0, 1e-5)


@KINDS
def test_it_finds_the_plane_of_a_linear_model(kind):
    rule = {"decision_rule": "L1"} if kind is EADAttack else {}
    attack = kind(steps=300, initial_const=0.1, **rule)
    ratios = sizes_over_optimum(attack)
    assert ratios.min() >= 1 - 1e-5
    assert ratios.max() < 1.1


@pytest.mark.parametrize(
    ("kind", "score"), [(L2CarliniWagnerAttack, flat), (EADAttack, constant)]
)
def test_a_failure_is_the_image_itself(kind, score):
    labels = tf.argmax(score(NET.images), 1)
    adversarials, success = run(kind, labels, score)
    assert not success.any()
    np.testing.assert_array_equal(adversarials, NET.images)


@KINDS
def test_neighbors_change_nothing(kind):
    changes = check_rows_are_independent(
        kind(**SHORT[kind], initial_const=0.3, binary_search_steps=4)
    )
    assert not changes[1].any()
    assert not changes[4].any()
    assert changes[0].any()


def test_the_decision_rule_decides():
    clean, l1_sizes, nets = NET.images.numpy(), {}, {}
    for rule in ("EN", "L1"):
        adversarials, success = run(
            EADAttack, initial_const=1.0, decision_rule=rule
        )
        assert success.all()
        changes = adversarials - clean
        l1_sizes[rule] = sizes("l1", changes)
        nets[rule] = 0.01 * l1_sizes[rule] + sizes("l2", changes) ** 2
    assert (l1_sizes["L1"] <= l1_sizes["EN"] + 1e-6).all()
    assert (nets["EN"] <= nets["L1"] + 1e-6).all()
    assert (l1_sizes["L1"] < l1_sizes["EN"] - 1e-3).any()


def test_settings_are_checked():
    with pytest.raises(ValueError, match="decision_rule must be one of EN, L1"):
        EADAttack(decision_rule="L2")
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        EADAttack(steps=0)
    with pytest.raises(ValueError, match="binary_search_steps must be at le"):
        L2CarliniWagnerAttack(binary_search_steps=0)
