"""Adversarial training: the perturbations, their warm-up, what they are for."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf import data
from dim_tf import training
from dim_tf.models import madry
from dim_tf.training import adversarial

SIZES = madry.MadryConfig(
    first_feature_maps=4, second_feature_maps=8, dense_units=32
)
RECIPE = adversarial.AdversarialRecipe(
    adversarial_epochs=3, adversarial_steps=3, adversarial_warmup=1.0
)


@pytest.fixture
def linear(generator):
    """Of a linear model of two classes, the worst perturbation is known."""
    inputs = keras.Input(data.IMAGE_SHAPE)
    scores = keras.layers.Dense(2)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, {"scores": scores})
    model.set_weights([generator.normal(size=(784, 2)), np.zeros(2)])
    return model


def perturbed(model, images, labels, epsilons, **changes):
    recipe = dataclasses.replace(RECIPE, **changes)
    return adversarial.perturb(
        model,
        recipe,
        tf.constant(images),
        tf.constant(labels),
        tf.constant(epsilons, tf.float32),
        tf.range(len(labels), dtype=tf.int64),
    ).numpy()


def test_it_ends_in_the_worst_corner(linear, generator):
    images = generator.uniform(0.4, 0.6, (6, *data.IMAGE_SHAPE))
    images = images.astype(np.float32)
    labels = np.arange(6) % 2
    epsilons = np.array([0.0, 0.1, 0.1, 0.2, 0.3, 0.3], np.float32)
    found = perturbed(linear, images, labels, epsilons, adversarial_stepsize=1)
    weights = linear.get_weights()[0]
    downhill = np.sign(weights[:, 1] - weights[:, 0])
    signs = np.where(labels == 0, 1, -1)[:, None] * downhill
    expected = images + (epsilons[:, None] * signs).reshape(images.shape)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_starts_are_random_and_repeatable(linear):
    images = np.full((3, *data.IMAGE_SHAPE), 0.5, np.float32)
    labels = np.zeros(3, np.int64)
    budget = np.full(3, 0.1, np.float32)
    first, again = (
        perturbed(linear, images, labels, budget, adversarial_stepsize=0.0)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    assert abs(first - 0.5).max() <= 0.1 + 1e-6
    assert abs(np.corrcoef(first[0].ravel(), first[1].ravel())[0, 1]) < 0.2


def test_epsilon_grows_from_nothing(tiny_mnist):
    model = madry.build(SIZES)
    train = data.load(tiny_mnist, "train")
    (stage,) = adversarial.stages(
        model, RECIPE, train, train, batch_size=50, seed=(0, 0)
    )
    batch = train.take(slice(50))

    def largest(number):
        numbers = tf.fill((50,), tf.constant(number, tf.int64))
        found, labels = stage.prepare(numbers, None, batch.images, batch.labels)
        np.testing.assert_array_equal(labels, batch.labels)
        return abs(found.numpy() - batch.images).max()

    assert largest(0) == 0
    for number, expected in (
        (len(train) // 2, 0.15),
        (len(train), 0.3),
        (5 * len(train), 0.3),
    ):
        assert largest(number) == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_training_makes_robust(tiny_mnist, tmp_path):
    accuracies = {}
    for epsilon in (0.0, 0.3):
        run = training.TrainConfig(
            model="madry", batch_size=50, run_dir=f"{tmp_path}/{epsilon}"
        )
        recipe = dataclasses.replace(
            RECIPE,
            adversarial_epochs=12,
            adversarial_epsilon=epsilon,
            adversarial_stepsize=0.5,
        )
        plan = training.prepare(run, SIZES, recipe, tiny_mnist)
        model = plan.run().model
        accuracies[epsilon] = adversarial.validation_of(
            model,
            dataclasses.replace(recipe, adversarial_epsilon=0.3),
            data.load(tiny_mnist, "validation"),
        )()["validation/adversarial_accuracy"]
    assert accuracies[0.3] > accuracies[0.0] + 0.2
