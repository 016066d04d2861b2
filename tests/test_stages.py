"""What DIM's two stages are trained on, and what by."""

import numpy as np
import pytest
from conftest import SMALL_DIM

from dim_tf import training
from dim_tf.training import dim


@pytest.fixture
def prepared(tiny_mnist):
    """Function `(model, recipe) -> training` of a small model, not trained."""

    def prepare(model, **recipe):
        run = training.TrainConfig(model=model, batch_size=50)
        recipe = dim.DimRecipe(**recipe)
        return training.prepare(run, SMALL_DIM, recipe, tiny_mnist)

    return prepare


def batch_of(stage):
    """A batch of the stage, with noise whatever the stage's is."""
    numbers, _, clean, labels = next(iter(stage.batches(0)))
    return numbers, 1.0 - clean, clean, labels


def test_the_denoiser_learns_clean_images_from_noisy_ones(prepared):
    plan = prepared("dim")
    stage = plan.stages[0]
    batch = batch_of(stage)
    inputs, targets = stage.prepare(*batch)
    np.testing.assert_array_equal(inputs, batch[1])
    np.testing.assert_array_equal(targets, batch[2])
    denoised = plan.model.get_layer("denoiser")(inputs).numpy()
    errors = np.square(denoised - targets.numpy()).sum((1, 2, 3))
    np.testing.assert_allclose(stage.loss(inputs, targets), errors, 1e-5)


def seen(plan, clean):
    """What the internal models are to see of clean images."""
    if plan.settings["model"] == "im":
        return clean
    return plan.model.get_layer("denoiser")(clean)


@pytest.mark.parametrize("model", ["dim", "im"])
@pytest.mark.parametrize(
    ("noise", "deviation"), [("", 0.0), ("gaussian:0.3", 0.3)]
)
def test_internal_models_learn_what_the_denoiser_makes_of_images(
    prepared, model, noise, deviation
):
    plan = prepared(model, internal_noise=noise)
    stage = plan.stages[-1]
    batch = batch_of(stage)
    inputs, targets, labels = stage.prepare(*batch)
    expected = seen(plan, batch[2])
    np.testing.assert_allclose(targets, expected, 1e-5, 1e-6)
    assert abs(np.std(inputs - expected) - deviation) < deviation / 30 + 1e-6
    np.testing.assert_array_equal(labels, batch[3])


def test_an_own_class_weighs_as_much_as_the_recipe_says(prepared):
    plan = prepared("dim", own_class_weight=9.0)
    stage = plan.stages[-1]
    inputs, targets, labels = stage.prepare(*batch_of(stage))
    outputs = plan.model.get_layer("internal_models")(inputs)
    expected = dim.internal_loss(
        outputs["reconstructions"], targets, labels, 9.0
    )
    loss = stage.loss(inputs, targets, labels)
    np.testing.assert_allclose(loss, expected, 1e-5)
