"""What is made of a model is made once, and goes with it."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf import attacks
from dim_tf import data
from dim_tf import metrics
from dim_tf import models
from dim_tf.attacks import suite
from dim_tf.evaluation import planning
from dim_tf.evaluation import sweep
from dim_tf.models import analysis_by_synthesis

LITTLE = analysis_by_synthesis.AbsConfig(
    abs_latent_units=2, abs_width=0.1, abs_samples=5, abs_steps=1
)


def measured(model, examples):
    metrics.accuracy(model, examples)


def swept(model, examples):
    spec = suite.PAPER["l2_add_gauss"]
    view = {"samples": 3, "steps": 1}
    cell = planning.Cell("abs", "", "", "paper", spec, 0, view)
    sweep.records(cell, model, examples, jit_compile=False)


def explained(model, examples):
    del examples
    attacks.LatentDescentAttack().for_model(model)


@pytest.mark.parametrize("use", [measured, swept, explained])
def test_a_model_that_was_used_can_go(use, generator):
    keras.utils.set_random_seed(0)
    model = models.build("abs", LITTLE)
    images = generator.uniform(size=(3, *data.IMAGE_SHAPE)).astype(np.float32)
    labels = metrics.predictions(model, images)
    use(model, data.Examples(images, labels, np.arange(3)))
    used = weakref.ref(model)
    del model
    keras.backend.clear_session()  # Keras' own list of what it has made
    gc.collect()
    assert used() is None


def test_scores_of_any_number_of_images_are_of_one_trace(generator):
    traced = []

    class Summed(keras.layers.Layer):
        def call(self, images):
            traced.append(images.shape)
            return tf.reduce_sum(images, (1, 2))

    inputs = keras.Input((2, 2, 1))
    model = keras.Model(inputs, {"scores": Summed()(inputs)})
    traced.clear()
    images = generator.uniform(size=(2_500, 2, 2, 1)).astype(np.float32)
    for count in (1, 7, 2_500):
        scores = metrics.outputs(model, images[:count], "scores")
        np.testing.assert_allclose(scores, images[:count].sum((1, 2)), 1e-6)
    assert traced == [(None, 2, 2, 1)]


@pytest.mark.parametrize(
    ("side", "count", "expected"),
    [(2, 2_500, [1_000, 1_000, 500]), (1_000, 5, [4, 1]), (2_001, 2, [1, 1])],
)
def test_large_images_go_fewer_together(side, count, expected):
    class Counted(keras.layers.Layer):
        def call(self, images):
            number = tf.shape(images)[0]
            return tf.repeat(number, number)

    inputs = keras.Input((side, side, 1))
    model = keras.Model(inputs, {"scores": Counted()(inputs)})
    # Of no memory, but one value's.
    images = np.broadcast_to(np.float32(0), (count, side, side, 1))
    found = metrics.outputs(model, images, "scores")
    together = [number for number in expected for _ in range(number)]
    np.testing.assert_array_equal(found, together)
