import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf import data
from dim_tf.evaluation import counting
from dim_tf.evaluation import protocol


def corner_model():
    """Class 1 where the first pixel is above 0.5, class 0 elsewhere."""
    inputs = keras.Input(data.IMAGE_SHAPE)
    corner = keras.layers.Flatten()(inputs)[:, :1]
    scores = keras.ops.concatenate([0.5 - corner, corner - 0.5], 1)
    return keras.Model(inputs, {"scores": scores})


def examples_of(corners, labels):
    images = np.zeros((len(corners), *data.IMAGE_SHAPE), np.float32)
    images[:, 0, 0, 0] = corners
    return data.Examples(
        images, np.array(labels, np.int64), np.arange(len(labels))
    )


def answers(examples, corners):
    tried = examples.images.copy()
    tried[:, 0, 0, 0] = corners
    return tried


def test_the_closest_adversarial_counts():
    trial = protocol.Trial(
        corner_model(), "l2", examples_of([0.1, 0.9], [0, 1])
    )
    near, far = (
        answers(trial.examples, corners) for corners in ([0.6, 0.95], [0.8, 1])
    )
    for tried in (far, near, far):
        np.testing.assert_array_equal(trial.consider(tried), [True, False])
    np.testing.assert_allclose(trial.distances, [0.5, np.inf])
    np.testing.assert_array_equal(trial.adversarials[0], near[0])
    np.testing.assert_array_equal(
        trial.adversarials[1], trial.examples.images[1]
    )


def test_what_rounding_has_lost_is_pushed_back():
    trial = protocol.Trial(
        corner_model(), "l2", examples_of([0.1] * 3, [0] * 3)
    )
    near = answers(trial.examples, [0.4999, 0.47, 0.1])
    assert not trial.consider(near).any()
    assert trial.consider(near, push=True).tolist() == [True, False, False]
    # A thousandth of the way farther.
    np.testing.assert_allclose(trial.distances, [0.4003, np.inf, np.inf], 1e-5)
    np.testing.assert_array_equal(trial.predictions, [1, 0, 0])
    np.testing.assert_array_equal(trial.moved, [True, True, False])


def test_a_class_that_is_masked_out_makes_no_lead_doubtful():
    model = corner_model()
    masked = keras.ops.pad(
        model.output["scores"], [[0, 0], [0, 1]], constant_values=-1e9
    )
    model = keras.Model(model.input, {"scores": masked})
    trial = protocol.Trial(model, "l2", examples_of([0.1], [0]))
    assert trial.consider(answers(trial.examples, [0.501])).all()


@pytest.mark.parametrize("corner", [0.5, 0.5 + 1e-6, np.nan])
def test_a_lead_within_rounding_is_none(corner):
    model = corner_model()
    model = keras.Model(
        model.input, {"scores": model.output["scores"] + 1.0}, name="high"
    )
    sick = keras.Model(
        model.input,
        {"scores": keras.ops.where(model.input[:, 0, 0] > 0.4, np.nan, 1.0)},
    )
    trial = protocol.Trial(model, "l2", examples_of([0.1], [0]))
    if np.isnan(corner):
        trial.model, corner = sick, 0.6
    assert not trial.consider(answers(trial.examples, [corner])).any()
    assert trial.distances == [np.inf]


def test_a_change_that_nobody_sees_is_none_in_l0():
    trial = protocol.Trial(corner_model(), "l0", examples_of([0.1], [0]))
    near = answers(trial.examples, [0.6])
    near[0, 5, 5, 0] = 1e-7
    assert trial.consider(near).all()
    assert trial.distances == [1]
    assert trial.adversarials[0, 5, 5, 0] == 0


@pytest.mark.parametrize("corner", [np.nan, 1.1, -0.1])
def test_pixels_out_of_range_are_an_error(corner):
    trial = protocol.Trial(corner_model(), "l2", examples_of([0.1], [0]))
    with pytest.raises(ValueError, match="not in .0, 1."):
        trial.consider(answers(trial.examples, [corner]))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_passes_are_counted_in_images(jit_compile):
    counter = counting.Counter()
    model = counter.wrap(lambda images: tf.reshape(images, (-1, 4)))

    @tf.function(jit_compile=jit_compile)
    def work(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            total = tf.reduce_sum(model(images))
        gradients = tape.gradient(total, images)
        return gradients + tf.reduce_sum(model(images[:2]))

    np.testing.assert_array_equal(
        work(tf.zeros((3, 2, 2, 1))), tf.ones((3, 2, 2, 1))
    )
    assert counter.take() == (5, 3)
    assert counter.take() == (0, 0)
