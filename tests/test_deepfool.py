import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import constant
from closed_forms import flat
from closed_forms import sizes_over_optimum
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows_are_independent
from tiny_nets import foolbox_model
from tiny_nets import foolbox_result

from dim_tf.attacks.deepfool import L2DeepFoolAttack
from dim_tf.attacks.deepfool import LinfDeepFoolAttack

TWINS = {
    L2DeepFoolAttack: foolbox.attacks.L2DeepFoolAttack,
    LinfDeepFoolAttack: foolbox.attacks.LinfDeepFoolAttack,
}
KINDS = pytest.mark.parametrize("kind", [L2DeepFoolAttack, LinfDeepFoolAttack])


def run(attack, model=MODEL, criterion=NET.labels):
    """Flattened adversarials, and success."""
    adversarials, _, success = attack(
        model, NET.images, criterion, epsilons=None
    )
    return adversarials.numpy().reshape(-1, PIXELS), success.numpy()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (L2DeepFoolAttack, {}),
        (LinfDeepFoolAttack, {}),
        (L2DeepFoolAttack, {"candidates": 2}),
        (LinfDeepFoolAttack, {"candidates": None}),
        (L2DeepFoolAttack, {"overshoot": 0.5}),
        (LinfDeepFoolAttack, {"loss": "crossentropy"}),
    ],
)
def test_the_steps_are_foolbox_s(kind, settings):
    expected = foolbox_result(TWINS[kind](**settings))
    adversarials, success = run(kind(**settings))
    assert success.all()
    np.testing.assert_allclose(adversarials, expected, 0, 1e-5)


@KINDS
def test_too_few_steps_end_at_the_image_itself(kind):
    ended = set()
    for steps in (2, 5):
        expected = foolbox_result(TWINS[kind](steps=steps))
        arrived = np.argmax(NET(expected), 1) != NET.labels.numpy()
        adversarials, success = run(kind(steps=steps))
        np.testing.assert_array_equal(success, arrived)
        clean = NET.images.numpy().reshape(-1, PIXELS)
        np.testing.assert_allclose(
            adversarials, np.where(arrived[:, None], expected, clean), 0, 1e-5
        )
        ended |= set(arrived)
    assert ended == {False, True}


@KINDS
def test_it_finds_the_plane_of_a_linear_model(kind):
    # As foolbox does it, a bit beyond.
    ratios = sizes_over_optimum(kind())
    np.testing.assert_allclose(ratios, 1.02, 0, 0.01)


@KINDS
def test_a_target_is_reached_by_the_shortest_way(kind):
    targets = (NET.labels + 1) % 3
    criterion = foolbox.criteria.TargetedMisclassification(targets)
    adversarials, success = run(kind(), criterion=criterion)
    assert success.all()
    np.testing.assert_array_equal(np.argmax(NET(adversarials), 1), targets)
    # The label and the target are all that such a model knows.
    compared = 0
    for row in range(3):
        pair = [int(NET.labels[row]), int(targets[row])]
        two_classes = foolbox_model(
            lambda x, pair=pair: tf.gather(NET(x), pair, axis=1)
        )
        image = NET.images[row : row + 1]
        alone = TWINS[kind]().run(
            two_classes, image, tf.constant([0], tf.int64)
        )
        if np.argmax(NET(alone), 1) == pair[1]:
            compared += 1
            np.testing.assert_allclose(
                adversarials[row], np.ravel(alone), 0, 1e-5
            )
    assert compared


@KINDS
def test_a_target_is_reached_past_a_third_class(kind):
    """That leads wherever the target only leads the label."""
    weights = np.zeros((PIXELS, 3), np.float32)
    weights[0], weights[1] = [0.0, 1.0, 1.1], [0.0, 1.0, 0.0]

    def score(images):
        return tf.reshape(images, (-1, PIXELS)) @ weights + [0.5, 0.0, 0.0]

    images = np.full((1, 6, 6, 1), 0.2, np.float32)
    criterion = foolbox.criteria.TargetedMisclassification(np.array([1]))
    _, found, success = kind()(
        foolbox_model(score), images, criterion, epsilons=None
    )
    assert success.numpy().all()
    assert np.argmax(score(found), 1) == [1]


@KINDS
def test_a_class_that_is_level_with_the_label_is_one_to_head_for(kind):
    weights = np.zeros((PIXELS, 2), np.float32)
    weights[0, 0] = 1.0
    images = np.full((1, 6, 6, 1), 0.5, np.float32)

    def score(images):
        return tf.reshape(images, (-1, PIXELS)) @ weights - [0.5, 0.0]

    found, success = (
        each.numpy()
        for each in kind()(
            foolbox_model(score), images, np.array([1]), epsilons=None
        )[1:]
    )
    assert success.all()
    assert 0.5 < found[0, 0, 0, 0] < 0.51


@KINDS
def test_neighbors_change_nothing(kind):
    changes = check_rows_are_independent(kind())
    for still in (1, 4, 6):
        assert not changes[still].any()
    assert changes[0].any()


@pytest.mark.parametrize(
    ("kind", "score"),
    [(L2DeepFoolAttack, flat), (LinfDeepFoolAttack, constant)],
)
def test_without_a_gradient_it_fails_with_the_image_itself(kind, score):
    labels = tf.argmax(score(NET.images), 1)
    adversarials, success = run(kind(steps=3), foolbox_model(score), labels)
    assert not success.any()
    np.testing.assert_array_equal(
        adversarials, tf.reshape(NET.images, (-1, PIXELS))
    )


def looping(images):
    """A net with a loop inside, which settles like `NET` says."""

    def settle(scores):
        return [scores + 0.5 * (NET(images) - scores)]

    zeros = tf.zeros_like(NET(images))
    return tf.while_loop(
        lambda scores: True, settle, [zeros], maximum_iterations=30
    )[0]


def test_xla_steps_the_same_way_and_models_may_loop():
    expected, _ = run(L2DeepFoolAttack())
    for jit_compile in (False, True):
        adversarials, success = run(
            L2DeepFoolAttack(jit_compile=jit_compile),
            foolbox_model(looping),
        )
        assert success.all()
        np.testing.assert_allclose(adversarials, expected, 0, 1e-4)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="candidates must be at least 2, got"):
        L2DeepFoolAttack(candidates=1)
    with pytest.raises(ValueError, match="loss must be one of logits, crosse"):
        LinfDeepFoolAttack(loss="margin")
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        LinfDeepFoolAttack(steps=0)
