"""ABS: the stack, the search, its gradient, its training."""

import dataclasses
import itertools
import shutil

import numpy as np
import pytest
import tensorflow as tf

from dim_tf import data
from dim_tf import metrics
from dim_tf import models
from dim_tf import training
from dim_tf.attacks import suite
from dim_tf.benchmarking import synthesis
from dim_tf.evaluation import planning
from dim_tf.evaluation import sweep
from dim_tf.evaluation import targets
from dim_tf.models import analysis_by_synthesis
from dim_tf.models import saving
from dim_tf.training import analysis_by_synthesis as recipes

SIZES = analysis_by_synthesis.AbsConfig(
    abs_latent_units=3,
    abs_width=0.25,
    abs_samples=50,
    abs_steps=10,
    abs_divergence_weight=0.5,
)


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(0)
    return generator.uniform(size=(5, 28, 28, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    return models.build("abs", SIZES)


def test_copies_start_from_different_weights(small):
    kernel = small.get_layer("encoder").weights[0].numpy()
    assert len({values.tobytes() for values in kernel}) == 10


def test_no_image_depends_on_its_neighbors(small, images):
    whole = small(images)
    for first, last in ((0, 1), (1, 5)):
        part = small(images[first:last])
        for name, value in part.items():
            np.testing.assert_allclose(
                value, whole[name][first:last], rtol=1e-4, atol=1e-4
            )


def test_scores_are_negative_bounds(small, images):
    outputs = small(images)
    errors = images[:, None] - outputs["reconstructions"]
    expected = -np.square(errors).sum((2, 3, 4))
    expected -= 0.5 * np.square(outputs["latents"]).sum(2) / 2
    np.testing.assert_allclose(outputs["scores"], expected, rtol=1e-5)


def test_binary_variant_scales_its_scores(images):
    model = models.build("bi_abs", SIZES)
    model.get_layer("scores").scales.assign(np.linspace(0.5, 1.5, 10))
    plain = models.build("abs", SIZES)
    plain.set_weights(model.get_weights())
    binary = (images >= 0.5).astype(np.float32)
    np.testing.assert_allclose(
        model(images)["scores"],
        plain(binary)["scores"] * np.linspace(0.5, 1.5, 10),
        rtol=1e-4,
    )


def test_class_by_class_it_is_the_same(small, images):
    scores = synthesis.class_by_class(small)(tf.constant(images))
    np.testing.assert_allclose(scores, small(images)["scores"], rtol=1e-4)
    timed = synthesis.seconds({"abs": small}, images, rounds=2)
    assert timed.keys() == {"abs", "abs, class by class"}
    assert all((seconds > 0).all() for seconds in timed.values())


def test_classes_meet_in_a_batch(tiny_mnist):
    train = data.load(tiny_mnist, "train")
    together = recipes.by_class(train)
    for label in range(10):
        own = train.images[train.labels == label]
        np.testing.assert_array_equal(together.images[: len(own), label], own)
        again = len(together) - len(own)
        np.testing.assert_array_equal(
            together.images[len(own) :, label], own[:again]
        )


def test_a_class_without_images_is_named(tiny_mnist):
    train = data.load(tiny_mnist, "train")
    some = train.take(np.flatnonzero(~np.isin(train.labels, (3, 8))))
    with pytest.raises(ValueError, match=r"of \[3, 8\] there are none"):
        recipes.by_class(some)


def test_loss_is_the_error_and_the_divergence_from_the_prior(
    tiny_mnist, generator
):
    recipe = recipes.AbsRecipe(
        abs_training_divergence_weight=0.7, abs_scale_images=128
    )
    run = training.TrainConfig(model="abs", batch_size=4)
    plan = training.prepare(run, SIZES, recipe, tiny_mnist)
    stage = plan.stages[0]
    images, _ = stage.prepare(*next(iter(stage.batches(0))))
    normal = generator.normal(size=(4, 10, 3)).astype(np.float32)
    codes = plan.model.get_layer("encoder")(images, training=True).numpy()
    means, variances = codes[..., :3], np.exp(codes[..., 3:])
    latents = means + np.sqrt(variances) * normal
    decoder = plan.model.get_layer("search").decoder
    decoded = decoder(latents, training=True).numpy()
    errors = np.square(images - decoded).sum((1, 2, 3, 4))
    # Of N(means, variances) from N(0, 1).
    divergences = (variances + means**2 - 1 - np.log(variances)) / 2
    np.testing.assert_allclose(
        stage.loss(images, normal),
        errors + 0.7 * divergences.sum((1, 2)),
        1e-5,
    )


def test_training_learns_and_resumes(tiny_mnist, tmp_path):
    recipe = recipes.AbsRecipe(
        abs_epochs=8, abs_learning_rate=2e-2, abs_scale_images=128
    )
    run = training.TrainConfig(
        model="abs", batch_size=4, run_dir=str(tmp_path / "run")
    )
    sizes = dataclasses.replace(SIZES, abs_width=0.5)
    plan = training.prepare(run, sizes, recipe, tiny_mnist)
    trained = plan.run()
    test = data.load(tiny_mnist, "test")
    assert metrics.accuracy(trained.model, test) > 0.8
    scales = trained.model.get_layer("scores").scales.numpy()
    assert (scales != 1).all()
    restored = training.restore(tmp_path / "run", tiny_mnist)
    for mine, its in zip(
        trained.model.get_weights(), restored.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, its)


def test_steps_along_tangents_only_improve(small, images):
    bounds = [
        -analysis_by_synthesis.search_view(small, samples=50, steps=steps)(
            images
        )["scores"].numpy()
        for steps in (0, 1, 3)
    ]
    for fewer, more in itertools.pairwise(bounds):
        assert (more <= fewer).all()
    assert (bounds[-1] < bounds[0]).mean() > 0.9


def test_search_view_shares_all_but_its_search(small, images):
    view = analysis_by_synthesis.search_view(small, samples=7, steps=2)
    search = view.get_layer("search")
    assert (search.samples, search.steps, search.radius) == (7, 2, 5.0)
    assert search.decoder is small.get_layer("search").decoder
    assert view.output.keys() == small.output.keys()
    np.testing.assert_array_equal(
        view(images)["encoded"], small(images)["encoded"]
    )
    assert analysis_by_synthesis.search_view(small, samples=7, steps=2) is view


def test_records_of_another_search_are_others(tmp_path):
    """Of the same weights, as training does not search."""
    folder = tmp_path / "abs"
    shutil.copytree(models.find("abs"), folder)
    card = saving.read_card(folder)
    assert targets.find(str(folder)).settings == {}
    card["settings"]["sizes"]["abs_steps"] = 7
    saving.write(folder, card, None)
    spec = suite.PAPER["l2_add_gauss"]
    made_with = [
        planning.Cell(
            "abs", "", "", "paper", spec, 0, settings=target.settings
        ).fingerprint
        for target in (targets.find("abs"), targets.find(str(folder)))
    ]
    assert made_with[0]["settings"] is None
    assert made_with[1]["settings"] == {"abs_steps": 7}


def test_attacks_search_on_the_view_and_the_model_judges(small, images):
    labels = metrics.predictions(small, images)
    examples = data.Examples(images, labels, np.arange(len(images)))
    spec = suite.PAPER["l2_add_gauss"]
    cell = planning.Cell("abs", "", "", "paper", spec, 0, {"steps": 0})
    records = sweep.records(cell, small, examples, jit_compile=False)
    assert cell.fingerprint["search_view"] == {"steps": 0}
    hit = np.array(records["status"]) == "success"
    assert hit.any()
    for row in np.flatnonzero(hit):
        found = records["adversarial"][row].reshape(1, 28, 28, 1)
        assert metrics.predictions(small, found) != labels[row]
