import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import sizes

from dim_tf.attacks.norms import NORMS

# L0 has no directions and no ball to start in.
BALLS = ("l1", "l2", "linf")


@pytest.mark.parametrize("norm", BALLS)
def test_direction_has_unit_size(norm, generator):
    gradients = generator.normal(size=(5, PIXELS)).astype(np.float32) * 1e-4
    direction = NORMS[norm].direction(tf.constant(gradients))
    np.testing.assert_allclose(sizes(norm, direction), 1, rtol=1e-5)
    # L2 and Linf climb as far as the dual norm allows; L1 is foolbox's, which
    # follows the gradient instead.
    climbed = np.sum(gradients * direction, axis=1)
    if norm == "l1":
        expected = sizes("l2", gradients) ** 2 / sizes("l1", gradients)
    else:
        expected = sizes({"l2": "l2", "linf": "l1"}[norm], gradients)
    np.testing.assert_allclose(climbed, expected, rtol=1e-5)


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("exponent", [-100, -40, 120])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_direction_is_of_any_gradient(norm, exponent, jit_compile, generator):
    """To the last bit, where sums of squares would under- or overflow."""
    gradients = generator.normal(size=(5, PIXELS)).astype(np.float32)
    direction = tf.function(NORMS[norm].direction, jit_compile=jit_compile)
    np.testing.assert_array_equal(
        direction(tf.constant(gradients * np.float32(2.0**exponent))),
        direction(tf.constant(gradients)),
    )


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_zero_gradient_has_no_direction(norm, jit_compile):
    gradients = np.zeros((2, PIXELS), np.float32)
    gradients[1, 3] = 1e-3
    direction = tf.function(NORMS[norm].direction, jit_compile=jit_compile)
    found = direction(tf.constant(gradients))
    np.testing.assert_array_equal(found, np.sign(gradients))


@pytest.mark.parametrize("norm", NORMS)
def test_size_and_distance(norm, generator):
    perturbations = generator.normal(size=(5, PIXELS)).astype(np.float32)
    perturbations[1, :30] = 0
    perturbations[2] = 0
    expected = sizes(norm, perturbations)
    measured = NORMS[norm].size(tf.constant(perturbations))
    np.testing.assert_allclose(measured, expected[:, None], rtol=1e-5)
    distance = NORMS[norm].distance
    assert isinstance(distance, foolbox.distances.LpDistance)
    found = distance(tf.zeros((5, PIXELS)), tf.constant(perturbations))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_size_of_candidates(norm, generator):
    candidates = generator.normal(size=(2, 3, PIXELS)).astype(np.float32)
    measured = NORMS[norm].size(tf.constant(candidates))
    expected = sizes(norm, candidates.reshape(6, PIXELS)).reshape(2, 3, 1)
    np.testing.assert_allclose(measured, expected, rtol=1e-5)


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("per_row", [False, True], ids=["scalar", "per_row"])
def test_project(norm, per_row, generator):
    inside = generator.normal(size=(5, PIXELS))
    inside *= 0.69 / sizes(norm, inside)[:, None]
    points = np.concatenate([inside, 3 * inside, 0 * inside])
    points = points.astype(np.float32)
    epsilon = tf.fill((15, 1), 0.7) if per_row else 0.7
    projected = NORMS[norm].project(tf.constant(points), epsilon).numpy()
    assert (sizes(norm, projected) <= 0.7 + 1e-6).all()
    np.testing.assert_array_equal(projected[:5], points[:5])
    np.testing.assert_allclose(sizes(norm, projected[5:10]), 0.7, rtol=1e-5)
    assert (projected * points >= 0).all()
    np.testing.assert_array_equal(projected[10:], points[10:])


@pytest.mark.parametrize("norm", BALLS)
def test_project_at_epsilons_of_their_own(norm, generator):
    points = generator.normal(size=(4, PIXELS)).astype(np.float32)
    epsilons = np.array([[0.0], [0.1], [0.5], [100.0]], np.float32)
    projected = NORMS[norm].project(tf.constant(points), epsilons).numpy()
    expected = np.minimum(epsilons[:, 0], sizes(norm, points))
    np.testing.assert_allclose(sizes(norm, projected), expected, rtol=1e-5)


@pytest.mark.parametrize("norm", BALLS)
def test_clipping_is_foolboxs(norm, generator):
    images = generator.uniform(size=(6, PIXELS)).astype(np.float32)
    perturbed = generator.uniform(size=(6, PIXELS)).astype(np.float32)
    distance = NORMS[norm].distance
    epsilon = float(np.median(sizes(norm, perturbed - images)))
    clipped = NORMS[norm].clip_perturbation(images, perturbed, epsilon)
    expected = distance.clip_perturbation(
        tf.constant(images), tf.constant(perturbed), epsilon
    )
    np.testing.assert_allclose(clipped, expected, atol=1e-6)


@pytest.mark.parametrize("norm", BALLS)
def test_clipping_keeps_what_is_near_to_the_last_bit(norm, generator):
    images = generator.uniform(size=(6, PIXELS)).astype(np.float32)
    # From 1 to just below one half the difference is no float32.
    images[:, :5] = 1.0
    perturbed = np.nextafter(np.full_like(images, 0.5), np.float32(0))
    change = perturbed - images
    assert (images + change != perturbed).any()
    # No more than a rounding below the size.
    epsilon = sizes(norm, change.astype(np.float64)) * (1 - 2e-7)
    epsilon = epsilon[:, None].astype(np.float32)
    clipped = NORMS[norm].clip_perturbation(images, perturbed, epsilon)
    np.testing.assert_array_equal(clipped, perturbed)
    near = NORMS[norm].clip_perturbation(images, perturbed, 0.99 * epsilon)
    measured = sizes(norm, near - images)
    np.testing.assert_allclose(measured, 0.99 * epsilon[:, 0], rtol=1e-5)


def test_l0_drops_what_is_too_large():
    images = np.full((3, PIXELS), 0.3, np.float32)
    perturbed = images.copy()
    for row, changed in enumerate((4, 5, 6)):
        perturbed[row, :changed] = 0.9
    clipped = NORMS["l0"].clip_perturbation(images, perturbed, 5.0).numpy()
    np.testing.assert_array_equal(clipped[:2], perturbed[:2])
    np.testing.assert_array_equal(clipped[2], images[2])


def test_l0_has_no_direction():
    with pytest.raises(ValueError, match="L0"):
        NORMS["l0"].direction(tf.zeros((1, PIXELS)))


@pytest.mark.parametrize("norm", BALLS)
def test_random_starts_fill_the_ball(norm):
    seeds = np.stack([np.zeros(2000), np.arange(2000)], 1).astype(np.int32)
    starts = NORMS[norm].random_start(seeds, 2).numpy()
    radii = sizes(norm, starts)
    assert (radii <= 1 + 1e-6).all()
    # Uniform in two dimensions: half of the area lies within sqrt(1/2).
    assert np.mean(radii < np.sqrt(0.5)) == pytest.approx(0.5, abs=0.04)
    np.testing.assert_allclose(starts.mean(axis=0), 0, atol=0.04)
    for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        share = np.mean((starts * signs > 0).all(axis=1))
        assert share == pytest.approx(0.25, abs=0.04)
    np.testing.assert_array_equal(
        NORMS[norm].random_start(seeds[3:4], 2)[0], starts[3]
    )
