import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import constant
from closed_forms import flat
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows_are_independent
from tiny_nets import final_state
from tiny_nets import foolbox_model
from tiny_nets import foolbox_result

from dim_tf.attacks.newton_fool import NewtonFoolAttack


def published_steps(image, label, steps, stepsize):
    """The paper's algorithm for one image, and whether it arrives."""
    flat_image = tf.reshape(image, (1, PIXELS))
    longest = stepsize * np.linalg.norm(flat_image)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            tape.watch(flat_image)
            probability = tf.nn.softmax(NET(flat_image))[0, label]
        gradient = tape.gradient(probability, flat_image).numpy()
        slope = np.linalg.norm(gradient)
        descent = min(longest * slope, float(probability) - 1 / 3)
        moved = flat_image - descent * gradient / slope**2
        flat_image = tf.clip_by_value(moved, 0, 1)
        if np.argmax(NET(flat_image)) != label:
            return flat_image.numpy()[0], True
    return np.ravel(image), False


def test_squared_norms_make_foolbox_s_steps():
    expected = foolbox_result(foolbox.attacks.NewtonFoolAttack(steps=30))
    state = final_state(NewtonFoolAttack(steps=30, squared_norms=True))
    arrived = np.argmax(NET(expected), 1) != NET.labels.numpy()
    assert arrived.all()
    np.testing.assert_allclose(state["result"], expected, 0, 1e-5)


@pytest.mark.parametrize("steps", [5, 40])
def test_the_steps_are_the_paper_s(steps):
    state = final_state(NewtonFoolAttack(steps=steps, stepsize=0.02))
    adversarial = np.argmax(NET(state["result"]), 1) != NET.labels.numpy()
    for row, image in enumerate(NET.images):
        expected, arrived = published_steps(
            image, int(NET.labels[row]), steps, 0.02
        )
        assert arrived == adversarial[row] == (steps == 40)
        np.testing.assert_allclose(state["result"][row], expected, 0, 1e-4)


def test_neighbors_change_nothing():
    changes = check_rows_are_independent(NewtonFoolAttack(stepsize=0.05))
    for still in (1, 4, 6):
        assert not changes[still].any()
    assert changes[0].any()


@pytest.mark.parametrize("squared_norms", [False, True])
def test_without_a_gradient_it_fails_with_the_image_itself(squared_norms):
    def faint(images):
        return 1e-6 * flat(images) * tf.reduce_sum(images)

    for score in (flat, constant, faint):
        adversarials, _, success = NewtonFoolAttack(
            steps=5, squared_norms=squared_norms
        )(
            foolbox_model(score),
            NET.images,
            tf.argmax(score(NET.images), 1),
            epsilons=None,
        )
        assert not success.numpy().any()
        np.testing.assert_array_equal(adversarials, NET.images)


def test_there_is_no_targeted_form():
    criterion = foolbox.criteria.TargetedMisclassification(NET.labels)
    with pytest.raises(ValueError, match="NewtonFoolAttack has no targeted"):
        NewtonFoolAttack()(MODEL, NET.images, criterion, epsilons=None)
