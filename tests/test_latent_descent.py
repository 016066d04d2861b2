"""The line search toward reconstructions, on models whose crossing is known."""

import dataclasses

import foolbox
import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf import models
from dim_tf.attacks import LatentDescentAttack

CLASSES, SHAPE = 4, (3, 3, 1)
# Shares of the way are found in steps of this size.
RESOLUTION = 1 / 1000


@keras.saving.register_keras_serializable("tests")
class Prototypes(keras.layers.Layer):
    """Reconstructs every image as each class's prototype."""

    def call(self, images):
        drawn = tf.one_hot(tf.range(CLASSES), 9)
        drawn = tf.reshape(drawn, (1, CLASSES, *SHAPE))
        return tf.tile(drawn, (tf.shape(images)[0], 1, 1, 1, 1))

    def compute_output_shape(self, shape):
        return (shape[0], CLASSES, *SHAPE)


@pytest.fixture
def model():
    """Scores are the first pixels; prototype k is white in pixel k alone."""
    images = keras.Input(SHAPE)
    scores = keras.layers.Flatten()(images)[:, :CLASSES]
    outputs = {"scores": scores, "reconstructions": Prototypes()(images)}
    return keras.Model(images, outputs)


@pytest.fixture
def fmodel(model):
    return foolbox.TensorFlowModel(
        models.classifier(model), (0, 1), device="/CPU:0"
    )


@pytest.fixture
def images(generator):
    """Of class 0; 1, 2 and 3 score 0.5, 0.3 and 0.2."""
    values = generator.uniform(0, 0.1, size=(5, 9)).astype(np.float32)
    values[:, :CLASSES] = (0.8, 0.5, 0.3, 0.2)
    return values.reshape(5, *SHAPE)


LABELS = np.zeros(5, np.int64)


def share_to(label, images):
    """Of the way to a prototype, until its class scores as class 0."""
    own, other = 0.8, images[0].ravel()[label]
    return (own - other) / (own + 1 - other)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_it_stops_where_the_class_changes(model, fmodel, images, jit_compile):
    attack = LatentDescentAttack(classes=1, jit_compile=jit_compile)
    attack = attack.for_model(model)
    raw, _, success = attack(fmodel, images, LABELS, epsilons=None)
    assert success.numpy().all()
    way = np.zeros(9, np.float32)
    way[1] = 1
    flat = images.reshape(5, 9)
    shares = (raw.numpy().reshape(5, 9) - flat) / (way - flat)
    share = share_to(1, images)
    np.testing.assert_allclose(shares, shares[:, :1] + 0 * shares, rtol=1e-3)
    assert (shares[:, 0] >= share - 1e-6).all()
    assert (shares[:, 0] <= share + RESOLUTION + 1e-6).all()


def test_more_classes_come_no_less_close(model, fmodel, images):
    sizes = []
    for classes in (1, 2, 3, 9):
        attack = LatentDescentAttack(classes=classes).for_model(model)
        raw = attack(fmodel, images, LABELS, epsilons=None)[0].numpy()
        sizes.append(np.linalg.norm((raw - images).reshape(5, -1), axis=1))
    assert (np.diff(sizes, axis=0) <= 0).all()


def test_targeted_it_goes_to_the_target(model, fmodel, images):
    attack = LatentDescentAttack().for_model(model)
    goal = foolbox.criteria.TargetedMisclassification(tf.constant([3] * 5))
    raw, _, success = attack(fmodel, images, goal, epsilons=None)
    assert success.numpy().all()
    assert (raw.numpy().reshape(5, 9)[:, :CLASSES].argmax(1) == 3).all()


def test_no_sample_depends_on_its_neighbors(model, fmodel, images):
    attack = LatentDescentAttack().for_model(model)
    whole = attack(fmodel, images, LABELS, epsilons=None)[0].numpy()
    alone = attack(fmodel, images[2:3], LABELS[2:3], epsilons=None)[0].numpy()
    np.testing.assert_array_equal(whole[2:3], alone)


def test_what_cannot_be_fooled_fails_as_it_is(model, fmodel, images):
    """Where every class is drawn as class 0, nothing changes."""
    first = tf.one_hot(0, 9)

    def explain(inputs):
        count = tf.shape(inputs)[0]
        return tf.tile(first[None, None], (count, CLASSES, 1))

    attack = dataclasses.replace(LatentDescentAttack(), explain=explain)
    raw, _, success = attack(fmodel, images, LABELS, epsilons=None)
    assert not success.numpy().any()
    np.testing.assert_array_equal(raw, images)


def test_a_model_without_reconstructions(fmodel, images, model):
    plain = keras.Model(model.input, {"scores": model.output["scores"]})
    with pytest.raises(ValueError, match="reconstructs its input.*only scores"):
        LatentDescentAttack().for_model(plain)
    with pytest.raises(ValueError, match="explain=... or for_model"):
        LatentDescentAttack()(fmodel, images, LABELS, epsilons=None)
