import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf
from closed_forms import DUAL_ORDER
from closed_forms import SHAPE
from closed_forms import constant
from closed_forms import flat
from closed_forms import not_a_number
from closed_forms import sizes
from closed_forms import sizes_over_optimum
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows_are_independent
from tiny_nets import foolbox_model

from dim_tf import attacks
from dim_tf.attacks.fab import FABAttack
from dim_tf.attacks.fab import nearest_step

BALLS = pytest.mark.parametrize("norm", ["l1", "l2", "linf"])


@BALLS
def test_it_finds_the_plane_of_a_linear_model(norm):
    ratios = sizes_over_optimum(FABAttack(norm=norm, steps=30))
    assert ratios.min() >= 1 - 1e-5
    assert ratios.max() < 1.01


# A run of one step ends beyond the plane, a long one on it.
@pytest.mark.parametrize(("steps", "beyond"), [(1, 1.05), (30, 1.0)])
@BALLS
def test_the_closest_class_need_not_be_the_best_of_the_others(
    norm, steps, beyond
):
    """The best other class leads at 0.3, the second at 0.1, the last at 1.5."""
    weights = np.linspace(-1, 1, 36).astype(np.float32)

    def score(images):
        values = tf.reshape(images, (-1, 36)) @ weights[:, None]
        return values * [[0.0, 1.0, 10.0, 2.0]] - [[0.0, 0.3, 1.0, 3.0]]

    images = np.full((1, *SHAPE), 0.5, np.float32)
    for targets, lead in ((1, 0.3), (2, 0.1), (9, 0.1)):
        attack = FABAttack(norm=norm, steps=steps, targets=targets)
        found, _, _ = attack(
            foolbox_model(score), images, np.zeros(1, int), epsilons=None
        )
        expected = beyond * lead / np.linalg.norm(weights, DUAL_ORDER[norm])
        np.testing.assert_allclose(sizes(norm, found - images), expected, 0.01)


def shortest(norm, place, gradient, missing):
    """The size of the shortest step, by a program that knows nothing of it."""
    count = len(place)
    low, high = -place, 1 - place
    if norm == "l2":
        # Along the gradient until each pixel meets its bound.
        def gain(factor):
            step = np.clip(factor * gradient, low, high)
            return step @ gradient - missing

        edge = np.sign(missing) * 1e3
        factor = scipy.optimize.brentq(gain, 0, edge, xtol=1e-12)
        return np.linalg.norm(np.clip(factor * gradient, low, high))
    ones = np.ones(count) if norm == "l1" else np.zeros(count)
    # Sizes of pixels, or one of all of them, are variables of their own.
    pieces = np.eye(count) if norm == "l1" else np.ones((count, 1))
    cost = np.concatenate([np.zeros(count), ones if norm == "l1" else [1.0]])
    free = [(None, None)] * pieces.shape[1]
    solved = scipy.optimize.linprog(
        cost,
        A_ub=np.block([[np.eye(count), -pieces], [-np.eye(count), -pieces]]),
        b_ub=np.zeros(2 * count),
        A_eq=[np.concatenate([gradient, np.zeros(pieces.shape[1])])],
        b_eq=[missing],
        bounds=[*zip(low, high, strict=True), *free],
    )
    assert solved.success
    return solved.fun


@pytest.mark.parametrize("decades", [0, 6])
@BALLS
def test_steps_onto_a_plane_are_the_shortest(norm, decades, generator):
    places = generator.uniform(0, 1, (20, 30))
    gradients = generator.normal(0, 1, (20, 30))
    gradients *= 10 ** generator.uniform(-decades, 0, (20, 30))
    reach = np.where(gradients > 0, 1 - places, places) * np.abs(gradients)
    missing = generator.uniform(0.05, 0.95, 20) * reach.sum(1)
    # Against the gradient there is as much room as the other side has.
    other = np.where(gradients < 0, 1 - places, places) * np.abs(gradients)
    missing[::2] = -missing[::2] / reach.sum(1)[::2] * other.sum(1)[::2]
    steps = nearest_step(
        norm,
        (0.0, 1.0),
        *(
            tf.constant(values, tf.float32)
            for values in (places, gradients, missing[:, None])
        ),
    ).numpy()
    assert (places + steps >= -1e-6).all()
    assert (places + steps <= 1 + 1e-6).all()
    np.testing.assert_allclose((steps * gradients).sum(1), missing, 1e-4)
    rows = zip(places, gradients, missing, strict=True)
    expected = [shortest(norm, *row) for row in rows]
    np.testing.assert_allclose(sizes(norm, steps), expected, 1e-4)


@BALLS
def test_a_plane_out_of_reach_is_approached_as_far_as_it_goes(norm):
    places = tf.constant([[0.25, 0.5, 0.5]])
    gradients = tf.constant([[1.0, -2.0, 0.0]])
    step = nearest_step(
        norm, (0.0, 1.0), places, gradients, tf.constant([[10.0]])
    )
    np.testing.assert_allclose(step, [[0.75, -0.5, 0.0]], atol=1e-6)


@BALLS
def test_a_step_from_the_plane_is_none(norm):
    places = tf.constant([[0.25, 0.5, 0.5]])
    step = nearest_step(
        norm,
        (0.0, 1.0),
        places,
        tf.constant([[1.0, -2.0, 0.0]]),
        tf.constant([[0.0]]),
    )
    np.testing.assert_array_equal(step, np.zeros((1, 3)))


def test_in_l1_pixels_that_gain_as_much_go_one_after_another():
    step = nearest_step(
        "l1",
        (0.0, 1.0),
        tf.constant([[0.5, 0.5, 0.5, 0.0]]),
        tf.constant([[2.0, 2.0, 2.0, 1.0]]),
        tf.constant([[1.5]]),
    )
    np.testing.assert_allclose(step, [[0.5, 0.25, 0.0, 0.0]], atol=1e-6)


@BALLS
def test_it_comes_as_close_as_the_best_of_the_others(norm):
    rivals = {
        "l1": attacks.L1BrendelBethgeAttack(),
        "l2": attacks.L2BrendelBethgeAttack(),
        "linf": attacks.LinfinityBrendelBethgeAttack(),
    }
    call = (MODEL, NET.images, NET.labels)
    ours, theirs = (
        sizes(norm, attack(*call, epsilons=None)[0] - NET.images)
        for attack in (FABAttack(norm=norm), rivals[norm])
    )
    assert np.median(ours / theirs) < 1.005
    assert (ours < 1.1 * theirs).all()


@BALLS
def test_neighbors_change_nothing(norm):
    check_rows_are_independent(FABAttack(norm=norm, steps=15))


def test_hostile_models_are_not_fooled():
    images = np.full((2, 6, 6, 1), 0.5, np.float32)
    for score in (constant, flat, not_a_number):
        adversarials, _, success = FABAttack(steps=5)(
            foolbox_model(score), images, np.zeros(2, int), epsilons=None
        )
        assert not success.numpy().any()
        np.testing.assert_array_equal(adversarials, images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "l0"}, "norm must be one of l1, l2, linf, got 'l0'"),
        ({"targets": 0}, "targets must be at least 1, got 0"),
        ({"eta": 0.5}, "eta must be at least 1, got 0.5"),
    ],
)
def test_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        FABAttack(**settings)
