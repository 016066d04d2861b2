import itertools

import numpy as np
import pytest
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import linear
from closed_forms import sizes
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows
from tiny_nets import check_rows_are_independent
from tiny_nets import final_state
from tiny_nets import foolbox_model

from dim_tf.attacks import splitmix
from dim_tf.attacks.pointwise import PointwiseAttack
from dim_tf.benchmarking import pointwise


def resets_of_foolbox_2(image, label, start, seeds):
    """Resets one pixel after the other, in a new order after a success."""
    clean = image.numpy().ravel()
    flat = start.numpy().ravel()
    for number in itertools.count():
        keys = splitmix.uniform(seeds, PIXELS, number).numpy()[0]
        for pixel in np.argsort(-keys):
            if flat[pixel] == clean[pixel]:
                continue
            tried = flat.copy()
            tried[pixel] = clean[pixel]
            if np.argmax(NET(tried[None])) != label:
                flat = tried
                break
        else:
            return flat


def test_pixels_are_taken_back_as_in_foolbox_2():
    attack = PointwiseAttack()
    seeds = check_rows(attack).rows["seeds"]
    result = final_state(attack, starting_points=NET.others)["result"]
    for row in range(3):
        expected = resets_of_foolbox_2(
            NET.images[row],
            NET.labels[row],
            NET.others[row],
            seeds[row : row + 1],
        )
        np.testing.assert_array_equal(result[row], expected)


@pytest.mark.parametrize("kind", [PointwiseAttack, pointwise.PointwiseAttack])
def test_no_pixel_can_be_taken_back(kind):
    """In ours, and in foolbox's that it is compared with."""
    adversarials, _, success = kind()(
        MODEL,
        NET.images,
        NET.labels,
        epsilons=None,
        starting_points=NET.others,
    )
    assert np.all(success)
    adversarials = np.reshape(adversarials, (-1, PIXELS))
    clean = NET.images.numpy().reshape(-1, PIXELS)
    for flat, image, label in zip(adversarials, clean, NET.labels, strict=True):
        changed = np.flatnonzero(flat != image)
        tried = np.tile(flat, (len(changed), 1))
        tried[np.arange(len(changed)), changed] = image[changed]
        np.testing.assert_array_equal(np.argmax(NET(tried), 1), label)


def test_it_finds_the_fewest_of_equal_pixels():
    images = np.zeros((2, *SHAPE), np.float32)
    model = foolbox_model(linear(np.ones(PIXELS, np.float32), 6.5))
    adversarials, _, success = PointwiseAttack()(
        model, images, np.zeros(2, int), epsilons=[6, 7]
    )
    assert (sizes("l0", adversarials[1]) == 7).all()
    assert success.numpy().tolist() == [[False] * 2, [True] * 2]


@pytest.mark.parametrize("starts", [False, True])
def test_neighbors_change_nothing(starts):
    changes = check_rows_are_independent(PointwiseAttack(), starts=starts)
    assert not changes[1].any()


def test_starting_points_that_are_none_are_replaced():
    starts = np.where(
        np.arange(8)[:, None, None, None] < 4, NET.images, NET.others
    )
    given, _, success = PointwiseAttack()(
        MODEL, NET.images, NET.labels, epsilons=None, starting_points=starts
    )
    assert success.numpy().all()
    free, _, _ = PointwiseAttack()(MODEL, NET.images, NET.labels, epsilons=None)
    np.testing.assert_array_equal(given[:4], free[:4])
    assert (given[4:].numpy() != free[4:].numpy()).any()


def test_it_starts_where_no_noise_is_adversarial():
    # Half of what noise turns is black: only what is nearly white will do.
    model = foolbox_model(linear(np.ones(PIXELS, np.float32), PIXELS - 3.5))
    images = np.linspace(0, 0.2, 3 * PIXELS, dtype=np.float32)
    _, adversarials, success = PointwiseAttack()(
        model, images.reshape(3, *SHAPE), np.zeros(3, int), epsilons=None
    )
    assert success.numpy().all()
    assert (adversarials.numpy().sum((1, 2, 3)) > PIXELS - 3.5).all()


def test_the_best_of_several_runs_counts():
    call = {"epsilons": None}
    once, _, _ = PointwiseAttack()(MODEL, NET.images, NET.labels, **call)
    often, _, _ = PointwiseAttack().repeat(5)(
        MODEL, NET.images, NET.labels, **call
    )
    once, often = (sizes("l0", each - NET.images) for each in (once, often))
    assert (often <= once).all()
    assert (often < once).any()
