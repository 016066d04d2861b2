"""Files of others: which output, which signature, which code of their own."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_foreign_models import SHAPE
from test_foreign_models import loaded
from test_foreign_models import saved
from test_foreign_models import scores_of

from dim_tf.models import foreign
from dim_tf.models import wrapping


@pytest.fixture
def images(generator):
    return generator.uniform(size=(14, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("name", ["m.keras", "m"])
def test_of_several_outputs_one_is_named(name, images, tmp_path):
    inputs = keras.Input(SHAPE)
    logits = scores_of(inputs)
    outputs = {"classes": keras.ops.argmax(logits, 1), "logits": logits}
    path = saved(keras.Model(inputs, outputs), tmp_path / name)
    with pytest.raises(ValueError, match="classes, logits, .* by scores=..."):
        loaded(path)
    with pytest.raises(ValueError, match="none of them is called x"):
        loaded(path, wrapping.Reading(scores="x"))
    reading = wrapping.Reading(scores="logits")
    found = loaded(path, reading)(images)["scores"]
    expected = keras.Model(inputs, logits)(images)
    np.testing.assert_allclose(found, expected, 1e-5, 1e-6)
    with pytest.raises(ValueError, match="no names; leave out scores=x"):
        loaded(
            saved(keras.Model(inputs, logits), tmp_path / "one.keras"),
            wrapping.Reading(scores="x"),
        )
    digests = {foreign.digest(path, each) for each in (wrapping.PLAIN, reading)}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m.keras", r"m\.keras must have one input, got .*6, 5, 3.*6, 5, 3"),
        ("m", "signature 'serving_default' of .*m must have one .*got a, b$"),
    ],
)
def test_a_model_of_two_inputs_is_refused(name, message, tmp_path):
    inputs = [keras.Input(SHAPE, name=each) for each in "ab"]
    model = keras.Model(inputs, scores_of(inputs[0] - inputs[1]))
    with pytest.raises(ValueError, match=message):
        loaded(saved(model, tmp_path / name))


def exported(function, path, *shape, dtype=tf.float32):
    module = tf.Module()
    module.call = tf.function(
        function, input_signature=[tf.TensorSpec(shape, dtype)]
    )
    tf.saved_model.save(module, str(path), signatures=module.call)
    return path


def test_a_signature_may_take_doubles(images, tmp_path):
    weights = np.random.default_rng(0).normal(size=(90, 4))

    def score(pixels):
        return {"scores": tf.reshape(pixels, (-1, 90)) @ weights}

    path = exported(score, tmp_path / "m", None, *SHAPE, dtype=tf.float64)
    found = loaded(path)(images)["scores"]
    np.testing.assert_allclose(found, images.reshape(14, -1) @ weights, 1e-4)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((None, *SHAPE), tf.uint8, "takes uint8, along which .* no gradients"),
        ((8, *SHAPE), tf.float32, "takes .*8, 6, 5, 3.*unknown first size"),
    ],
)
def test_signatures_that_no_attack_can_ask(shape, dtype, message, tmp_path):
    def score(pixels):
        return {"scores": tf.cast(pixels[:, 0, :4, 0], tf.float32)}

    path = exported(score, tmp_path / "m", *shape, dtype=dtype)
    with pytest.raises(ValueError, match=message):
        loaded(path)


def test_an_output_of_probabilities_is_named_too(images, tmp_path):
    inputs = keras.Input(SHAPE)
    logits = scores_of(inputs)
    outputs = {"likely": keras.layers.Softmax()(logits)}
    path = saved(keras.Model(inputs, outputs), tmp_path / "m.keras")
    with pytest.raises(ValueError, match="none of them is called x"):
        loaded(path, wrapping.Reading(probabilities=True, scores="x"))
    reading = wrapping.Reading(probabilities=True, scores="likely")
    found = loaded(path, reading)(images)["scores"]
    expected = tf.nn.log_softmax(keras.Model(inputs, logits)(images))
    np.testing.assert_allclose(found, expected, 1e-5, 1e-5)


class Unsaid(keras.Model):
    """A model that keeps to itself what it takes."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(4)

    def call(self, images):
        return self.dense(keras.ops.reshape(images, (-1, 90)))


def test_models_of_own_code_are_told_how_to_go(images, tmp_path):
    model = Unsaid()
    model(images)
    path = saved(model, tmp_path / "m.keras")
    with pytest.raises(ValueError, match="is no Keras .*model.export.folder."):
        loaded(path)
    scope = keras.saving.custom_object_scope({"Unsaid": Unsaid})
    with scope, pytest.raises(ValueError, match=r"takes; .*Sequential\("):
        loaded(path)
    wrapped = keras.Sequential([keras.Input(SHAPE), model])
    scores = loaded(saved(wrapped, tmp_path / "out"))(images)["scores"]
    np.testing.assert_allclose(scores, model(images), 1e-5, 1e-6)
