"""ABS: the stack, the search, its gradient, its training."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf import data
from dim_tf import layers
from dim_tf import metrics
from dim_tf import models
from dim_tf import training
from dim_tf.attacks import suite
from dim_tf.benchmarking import synthesis
from dim_tf.evaluation import sweep
from dim_tf.models import analysis_by_synthesis
from dim_tf.models import latent_search
from dim_tf.models import tangent_search
from dim_tf.training import analysis_by_synthesis as recipes

SIZES = analysis_by_synthesis.AbsConfig(
    abs_latent_units=3,
    abs_width=0.25,
    abs_samples=50,
    abs_steps=10,
    abs_divergence_weight=0.5,
)


def linear_decoder(generator, classes=2, units=3):
    """A stack of decoders `latents -> matrix @ latents`, 4 x 4 pixels."""
    latents = keras.Input((units,))
    flat = keras.layers.Dense(16, use_bias=False)(latents)
    template = keras.Model(latents, keras.layers.Reshape((4, 4, 1))(flat))
    decoder = layers.Stack(template, classes)
    decoder.build((None, classes, units))
    matrices = generator.normal(size=(classes, units, 16)).astype(np.float32)
    decoder.set_weights([matrices])
    return decoder, matrices


@pytest.fixture
def images(generator):
    return generator.uniform(size=(5, 28, 28, 1)).astype(np.float32)


@pytest.fixture
def small(images):
    return models.build("abs", SIZES)


def test_stack_is_its_copies_side_by_side(generator):
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(3, 3, 2)(inputs)
    x = keras.layers.BatchNormalization()(x)
    template = keras.Model(inputs, keras.layers.Flatten()(x))
    stack = layers.Stack(template, 4)
    images = generator.normal(size=(5, 4, 6, 6, 2)).astype(np.float32)
    stack.build(images.shape)
    weights = [generator.uniform(0.5, 1, w.shape) for w in stack.weights]
    stack.set_weights(weights)
    outputs = stack(images)
    trained = stack(images, training=True).numpy()
    after = stack.get_weights()
    for copy in range(4):
        single = keras.models.clone_model(template)
        single.set_weights([weight[copy] for weight in weights])
        np.testing.assert_allclose(
            outputs[:, copy], single(images[:, copy]), rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(
            trained[:, copy],
            single(images[:, copy], training=True),
            rtol=1e-5,
            atol=1e-6,
        )
        for mine, whole in zip(single.get_weights(), after, strict=True):
            np.testing.assert_allclose(whole[copy], mine, rtol=1e-5, atol=1e-7)


def test_stack_with_a_shared_input(generator):
    decoder, matrices = linear_decoder(generator)
    latents = generator.normal(size=(5, 1, 3)).astype(np.float32)
    expected = np.einsum("bcu,kup->bkp", latents, matrices)
    np.testing.assert_allclose(
        decoder(latents).numpy().reshape(5, 2, 16), expected, rtol=1e-4
    )


def test_copies_start_from_different_weights(small):
    kernel = small.get_layer("encoder").weights[0].numpy()
    assert len({values.tobytes() for values in kernel}) == 10


def test_stack_refuses_other_shapes(generator):
    decoder, _ = linear_decoder(generator)
    fresh = layers.Stack.from_config(decoder.get_config())
    with pytest.raises(ValueError, match=r"\(batch, 2 or 1, .*received .*3, 3"):
        fresh.build((None, 3, 3))


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_search_finds_the_optimum_of_a_linear_decoder(generator, weight):
    """argmin |x - Mz|^2 + w |z|^2 / 2 solves (M'M + w I/2) z = M'x."""
    decoder, matrices = linear_decoder(generator)
    search = latent_search.LatentSearch(
        decoder, samples=200, steps=400, divergence_weight=weight
    )
    images = generator.normal(size=(6, 4, 4, 1)).astype(np.float32)
    found = search(images)
    for label, matrix in enumerate(matrices):
        left = matrix @ matrix.T + weight * np.eye(3) / 2
        best = np.linalg.solve(left, matrix @ images.reshape(6, 16).T).T
        np.testing.assert_allclose(found["latents"][:, label], best, atol=2e-3)


def test_search_starts_from_the_best_likely_sample(generator):
    decoder, matrices = linear_decoder(generator)
    search = latent_search.LatentSearch(
        decoder, samples=100, steps=0, seed=3, divergence_weight=4.0
    )
    images = generator.normal(size=(6, 4, 4, 1)).astype(np.float32)
    prior = np.random.default_rng(3).standard_normal((100, 3), np.float32)
    sizes = np.square(prior).sum(1)
    likely = prior[sizes <= np.sort(sizes)[89]]
    assert len(likely) == 90
    found = search(images)["latents"].numpy()
    for label, matrix in enumerate(matrices):
        errors = images.reshape(6, 1, 16) - likely @ matrix
        bounds = np.square(errors).sum(2) + 2 * np.square(likely).sum(1)
        np.testing.assert_array_equal(found[:, label], likely[bounds.argmin(1)])


def test_search_stays_in_its_ball(generator):
    decoder, _ = linear_decoder(generator)
    search = latent_search.LatentSearch(
        decoder, samples=20, steps=60, radius=0.5
    )
    images = 9 * generator.normal(size=(6, 4, 4, 1)).astype(np.float32)
    sizes = np.linalg.norm(search(images)["latents"], axis=2)
    np.testing.assert_allclose(sizes, 0.5, rtol=1e-5)


def test_search_follows_its_decoder(generator):
    decoder, matrices = linear_decoder(generator)
    search = latent_search.LatentSearch(decoder, samples=30, steps=0)
    images = generator.normal(size=(6, 4, 4, 1)).astype(np.float32)
    before = search(images)["latents"].numpy()
    decoder.set_weights([-matrices])
    after = search(images)["latents"].numpy()
    fresh = latent_search.LatentSearch(decoder, samples=30, steps=0)
    np.testing.assert_array_equal(after, fresh(images)["latents"])
    assert (after != before).any()


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


def test_gradient_is_that_of_the_minimum(generator):
    """Of a quadratic bound the minimum is x'Qx, and its gradient 2 Q x."""
    decoder, matrices = linear_decoder(generator)
    search = latent_search.LatentSearch(decoder, samples=200, steps=400)
    scores = latent_search.EvidenceScores()
    images = tf.constant(generator.normal(size=(6, 4, 4, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        found = search(images)
        total = tf.reduce_sum(
            scores([images, found["reconstructions"], found["latents"]])[:, 1]
        )
    matrix = matrices[1]
    left = matrix @ matrix.T + np.eye(3) / 2
    quadratic = np.eye(16) - matrix.T @ np.linalg.solve(left, matrix)
    expected = -2 * images.numpy().reshape(6, 16) @ quadratic
    gradient = tape.gradient(total, images).numpy().reshape(6, 16)
    np.testing.assert_allclose(gradient, expected, atol=1e-2)


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


def test_training_learns_and_resumes(tiny_mnist, tmp_path):
    recipe = recipes.AbsRecipe(
        abs_epochs=40, abs_learning_rate=1e-2, abs_scale_images=128
    )
    run = training.TrainConfig(
        model="abs", batch_size=10, run_dir=str(tmp_path / "run")
    )
    sizes = dataclasses.replace(SIZES, abs_width=0.5)
    plan = training.prepare(run, sizes, recipe, tiny_mnist)
    trained = plan.run(run)
    test = data.load(tiny_mnist, "test")
    assert metrics.accuracy(trained.model, test) > 0.8
    scales = trained.model.get_layer("scores").scales.numpy()
    assert (scales != 1).all()
    restored = training.restore(tmp_path / "run", tiny_mnist)
    for mine, its in zip(
        trained.model.get_weights(), restored.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, its)


def test_one_step_along_tangents_ends_at_the_optimum_of_a_line(generator):
    decoder, matrices = linear_decoder(generator)
    search = tangent_search.TangentSearch(
        decoder, samples=5, steps=1, radius=100.0, divergence_weight=0.7
    )
    images = generator.normal(size=(6, 4, 4, 1)).astype(np.float32)
    found = search(images)
    flat = images.reshape(6, 16)
    for label, matrix in enumerate(matrices):
        ridge = matrix @ matrix.T + 0.35 * np.eye(3)
        best = np.linalg.solve(ridge, matrix @ flat.T).T
        latents = found["latents"][:, label].numpy()
        np.testing.assert_allclose(latents, best, atol=2e-3)
        decoded = found["reconstructions"][:, label].numpy()
        np.testing.assert_allclose(
            decoded.reshape(6, 16), latents @ matrix, atol=1e-5
        )


def test_steps_along_tangents_only_improve(small, images):
    bounds = [
        -analysis_by_synthesis.search_view(small, samples=50, steps=steps)(
            images
        )["scores"].numpy()
        for steps in range(4)
    ]
    for fewer, more in itertools.pairwise(bounds):
        assert (more <= fewer).all()
    assert (bounds[-1] < bounds[0]).mean() > 0.9


def test_search_along_tangents_follows_its_decoder(generator):
    decoder, matrices = linear_decoder(generator)
    search = tangent_search.TangentSearch(decoder, samples=5, steps=1)
    images = generator.normal(size=(2, 4, 4, 1)).astype(np.float32)
    search(images)
    decoder.set_weights([matrices[::-1]])
    there = search(images)["latents"].numpy()
    decoder.set_weights([matrices])
    np.testing.assert_allclose(
        search(images)["latents"].numpy(), there[:, ::-1], atol=1e-6
    )


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


def test_attacks_search_on_the_view_and_the_model_judges(small, images):
    labels = metrics.predictions(small, images)
    examples = data.Examples(images, labels, np.arange(len(images)))
    spec = suite.PAPER["l2_add_gauss"]
    cell = sweep.Cell("abs", "", "", "paper", spec, 0, {"steps": 0})
    records = sweep.records(cell, small, examples, jit_compile=False)
    assert cell.fingerprint["search_view"] == {"steps": 0}
    hit = np.array(records["status"]) == "success"
    assert hit.any()
    for row in np.flatnonzero(hit):
        found = records["adversarial"][row].reshape(1, 28, 28, 1)
        assert metrics.predictions(small, found) != labels[row]
