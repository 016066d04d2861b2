import eagerpy
import foolbox
import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import sizes

from dim_tf.attacks import l1_ball
from dim_tf.attacks.problem import Problem

EPSILONS = pytest.mark.parametrize("epsilon", [0.01, 1.0, 3.0, 8.0])


@pytest.fixture
def perturbations(generator):
    """Dense, sparse, tied, tiny, inside and zero ones."""
    changes = generator.normal(0, 0.5, (40, PIXELS))
    changes[10:20] *= generator.uniform(size=(10, PIXELS)) < 0.2
    changes[20:30] = np.sign(changes[20:30]) * 0.25
    changes[30:35] *= 2.0 / sizes("l1", changes[30:35])[:, None]
    changes[35] = 0
    return changes.astype(np.float32)


def closest_by_root_finding(change, epsilon, rooms=np.inf):
    """The closest point of the L1 ball, for its shift solves an equation."""

    def shortened(shift):
        return np.clip(np.abs(change) - shift, 0, rooms)

    def excess(shift):
        return shortened(shift).sum() - epsilon

    shift = 0.0
    if excess(0.0) > 0:
        high = np.abs(change).max()
        shift = scipy.optimize.brentq(excess, 0, high, xtol=1e-12)
    return np.sign(change) * shortened(shift)


@EPSILONS
def test_projection_is_the_closest_point(epsilon, perturbations):
    projected = l1_ball.project(tf.constant(perturbations), epsilon)
    expected = [
        closest_by_root_finding(change.astype(np.float64), epsilon)
        for change in perturbations
    ]
    np.testing.assert_allclose(projected, expected, atol=2e-6)
    per_row = tf.fill((40, 1), epsilon)
    again = l1_ball.project(tf.constant(perturbations), per_row)
    np.testing.assert_array_equal(again, projected)


@EPSILONS
def test_projection_like_foolbox(epsilon, perturbations):
    projected = l1_ball.project_like_foolbox(
        tf.constant(perturbations), epsilon
    )
    for change, found in zip(perturbations, projected, strict=True):
        expected = foolbox_projection(change, epsilon)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def foolbox_projection(change, epsilon):
    center = eagerpy.astensor(tf.zeros((1, PIXELS)))
    moved = eagerpy.astensor(tf.constant(change[None]))
    attack = foolbox.attacks.SparseL1DescentAttack()
    return attack.project(moved, center, epsilon).raw[0]


def problem_of(images, bounds=(0.0, 1.0)):
    return Problem(
        images=tf.constant(images),
        classes=tf.zeros(len(images), tf.int64),
        seeds=tf.zeros((len(images), 2), tf.int32),
        targeted=False,
        model=None,
        shape=SHAPE,
        bounds=bounds,
    )


@EPSILONS
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-0.5, 0.5)])
def test_within_the_bounds_too(epsilon, bounds, perturbations, generator):
    images = generator.uniform(*bounds, (40, PIXELS)).astype(np.float32)
    # Many pixels are at a bound, as they are in MNIST.
    images[:, ::2] = bounds[0]
    problem = problem_of(images, bounds)
    flat = images + perturbations
    closest = l1_ball.restrict(problem, tf.constant(flat), epsilon).numpy()
    assert (closest >= bounds[0]).all()
    assert (closest <= bounds[1]).all()
    assert (sizes("l1", closest - images) <= epsilon + 1e-6).all()
    for image, point, found in zip(
        images.astype(float), flat.astype(float), closest, strict=True
    ):
        change = point - image
        rooms = np.where(change > 0, bounds[1] - image, image - bounds[0])
        expected = image + closest_by_root_finding(change, epsilon, rooms)
        np.testing.assert_allclose(found, expected, 0, 1e-5)


def test_many_of_an_image_at_once(perturbations, generator):
    images = generator.uniform(0, 1, (4, PIXELS)).astype(np.float32)
    many = images[:, None] + perturbations.reshape(4, 10, PIXELS)
    epsilons = np.array([0.5, 1, 2, 4], np.float32)
    together = l1_ball.restrict(
        problem_of(images), tf.constant(many), epsilons[:, None, None]
    )
    for row in range(4):
        alone = problem_of(np.repeat(images[row : row + 1], 10, 0))
        expected = l1_ball.restrict(
            alone, tf.constant(many[row]), epsilons[row]
        )
        np.testing.assert_array_equal(together[row], expected)


def test_what_is_near_enough_stays_as_it_is(generator):
    """Or a model that binarizes would see the difference."""
    images = generator.uniform(0, 1, (5, PIXELS)).astype(np.float32)
    flat = images.copy()
    flat[:, :3] = generator.uniform(0, 1, (5, 3))
    closest = l1_ball.restrict(problem_of(images), tf.constant(flat), 3.0)
    np.testing.assert_array_equal(closest, flat)
