"""The search of ABS and its cheaper view, on decoders with known optima."""

import numpy as np
import pytest
import tensorflow as tf
from linear_decoders import linear_decoder

from dim_tf.models import latent_search
from dim_tf.models import tangent_search


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


def test_tangents_that_could_not_be_derived_are_derived_again(
    generator, monkeypatch
):
    decoder, _ = linear_decoder(generator)
    images = generator.normal(size=(2, 4, 4, 1)).astype(np.float32)
    whole = tangent_search.TangentSearch(decoder, samples=5, steps=1)
    search = tangent_search.TangentSearch(decoder, samples=5, steps=1)
    search.build(images.shape)

    def fail(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(search, "_tangents_along", fail)
        with pytest.raises(MemoryError):
            search(images)
    np.testing.assert_array_equal(
        search(images)["latents"], whole(images)["latents"]
    )


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
