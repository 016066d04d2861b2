import functools

import numpy as np
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import constant
from closed_forms import linear
from closed_forms import sizes
from tiny_nets import NET
from tiny_nets import check_rows
from tiny_nets import foolbox_model

from dim_tf.attacks import graphs
from dim_tf.attacks.boundary import BoundaryAttack
from dim_tf.attacks.starting_points import find_starting_points

ATTACK = BoundaryAttack()


def _find(problem, rows):
    points, elsewhere = find_starting_points(problem, rows)
    return {"points": points, "elsewhere": elsewhere}


@functools.cache
def compiled(score, jit_compile):
    steps = {"find": _find}
    model = foolbox_model(score)
    return graphs.Graphs(steps, model, SHAPE, False, jit_compile)


def find(score, rows, jit_compile=False):
    """Starting points and whether they are not the images themselves."""
    found = compiled(score, jit_compile)("find", rows)
    return found["points"].numpy(), found["elsewhere"].numpy()


def rows_of(images, labels, **arguments):
    images = np.float32(images).reshape(-1, *SHAPE)
    model = foolbox_model(constant)
    return ATTACK.check(model, images, np.array(labels), **arguments).rows


def test_every_image_of_the_net_gets_an_adversarial_one():
    points, found = find(NET, check_rows(ATTACK).rows)
    assert found.all()
    assert (tf.argmax(NET(points), 1) != NET.labels).numpy().all()
    assert points.min() >= 0
    assert points.max() <= 1


def test_the_noise_is_blended_in_no_more_than_needed():
    weights = np.ones(PIXELS, np.float32)
    levels = np.linspace(0.2, 0.25, 4)
    images = np.repeat(levels[:, None], PIXELS, 1)
    rows = rows_of(images, [0] * 4)
    points, found = find(linear(weights, PIXELS * 0.4), rows)
    assert found.all()
    means = points.mean(1)
    # Noise is about 0.3 brighter than the images, and comes in 1000 steps.
    assert (means > 0.4).all()
    assert (means < 0.4 + 5e-4).all()
    # Not the same noise for all.
    assert np.unique((points - images).argmax(1)).size > 1


def brightness(images):
    return tf.reduce_mean(tf.reshape(images, (-1, PIXELS)), 1)


def contrast(images):
    flat = tf.reshape(images, (-1, PIXELS))
    return tf.math.reduce_std(flat, 1)


def above(measure, threshold):
    """Class 1 where a measure exceeds a threshold."""

    def score(images):
        second = measure(images) - threshold
        return tf.stack([tf.zeros_like(second), second], 1)

    return score


def test_salt_and_pepper_comes_next():
    # Uniform noise has a deviation of 0.29, black and white one of 0.5.
    images = np.repeat([[0.5], [0.51]], PIXELS, 1).astype(np.float32)
    rows = rows_of(images, [0, 0])
    points, found = find(above(contrast, 0.4), rows)
    assert found.all()
    changed = points != images
    assert set(np.unique(points[changed])) == {0.0, 1.0}
    assert (changed[0] != changed[1]).any()
    # Fewer pixels would not do.
    share = 0.4**2 / 0.5**2
    np.testing.assert_allclose(changed.mean(1), share, atol=3 / PIXELS)


def test_constant_images_come_last():
    rows = rows_of(np.full((1, PIXELS), 0.3), [0])
    points, found = find(above(brightness, 0.95), rows)
    assert found.all()
    np.testing.assert_allclose(points, 0.95, atol=1e-3)
    assert (points > 0.95).all()


def test_every_row_goes_as_far_as_it_has_to():
    """A row that needs all ways, beside rows that need none."""

    def score(images):
        # By the first pixel, which no way changes back to what it was.
        kind = tf.reshape(images, (-1, PIXELS))[:, 0]
        bright = brightness(images) > 0.95
        second = tf.where(kind < 0.25, 1.0, -1.0)
        second = tf.where(bright, 1.0, second)
        return tf.stack([tf.zeros_like(second), second], 1)

    images = np.full((3, PIXELS), 0.5, np.float32)
    images[2] = 0.1
    rows = rows_of(images, [0, 1, 0])
    points, found = find(score, rows)
    assert found.tolist() == [True, False, False]
    np.testing.assert_array_equal(points[1:], images[1:])
    alone, _ = find(score, graphs.take(rows, [0]))
    np.testing.assert_array_equal(alone, points[:1])


def test_without_any_the_image_itself_comes_back():
    images = np.random.default_rng(0).uniform(size=(2, PIXELS))
    rows = rows_of(images, [0, 0])
    points, found = find(constant, rows)
    assert not found.any()
    np.testing.assert_array_equal(points, rows["images"])


def test_given_ones_are_taken_where_they_are_adversarial():
    images = np.full((2, PIXELS), 0.2, np.float32)
    given = np.stack([np.full(PIXELS, 0.9), np.full(PIXELS, 0.1)])
    rows = rows_of(
        images, [0, 0], starting_points=np.float32(given).reshape(2, *SHAPE)
    )
    points, found = find(above(brightness, 0.4), rows)
    assert found.all()
    taken = points == rows["starting_points"].numpy()
    assert taken[0].all()
    assert not taken[1].any()
    assert (points.mean(1) > 0.4).all()


def test_scores_that_are_not_numbers_are_no_success():
    def score(images):
        second = tf.where(brightness(images) > 0.4, np.nan, -1.0)
        return tf.stack([tf.zeros_like(second), second], 1)

    rows = rows_of(np.full((1, PIXELS), 0.2), [0])
    _, found = find(score, rows)
    assert not found.any()


def test_neighbors_and_their_number_change_nothing():
    rows = check_rows(ATTACK).rows
    points, _ = find(NET, rows)
    reverse, _ = find(NET, graphs.take(rows, np.arange(8)[::-1]))
    np.testing.assert_allclose(reverse[::-1], points, 0, 1e-6)
    for first in range(8):
        alone, _ = find(NET, graphs.take(rows, [first]))
        np.testing.assert_allclose(alone[0], points[first], 0, 1e-6)


def test_seeds_tell_runs_apart():
    rows = check_rows(ATTACK).rows
    points, _ = find(NET, rows)
    other, _ = find(NET, {**rows, "seeds": rows["seeds"] + [[1, 0]]})
    assert (sizes("l2", other - points) > 0.1).all()


def test_xla_finds_the_same():
    rows = check_rows(ATTACK).rows
    plain, _ = find(NET, rows)
    compiled, _ = find(NET, rows, jit_compile=True)
    np.testing.assert_allclose(compiled, plain, 0, 1e-5)
