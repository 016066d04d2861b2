import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import check_budget
from closed_forms import constant
from closed_forms import flat
from closed_forms import linear
from closed_forms import not_a_number
from closed_forms import sizes
from tiny_nets import foolbox_model

from dim_tf import layers
from dim_tf.attacks.greedy_pixels import GreedyPixelsAttack


def run(
    score,
    images,
    epsilons=5.0,
    bounds=(0.0, 1.0),
    targeted=False,
    **settings,
):
    """Attacks class 0; returns adversarials and success in NumPy arrays."""
    criterion = np.zeros(len(images), np.int64)
    if targeted:
        criterion = foolbox.criteria.TargetedMisclassification(1 + criterion)
    _, adversarials, success = GreedyPixelsAttack(**settings)(
        foolbox_model(score, bounds), images, criterion, epsilons=epsilons
    )
    return np.asarray(adversarials), success.numpy()


def closed_form_gains(images, weights):
    """Most that each pixel can add to the second score, best first."""
    pixels = images.reshape(len(images), -1)
    gains = np.where(weights > 0, weights * (1 - pixels), -weights * pixels)
    return -np.sort(-gains, axis=1)


@pytest.mark.parametrize("targeted", [False, True])
def test_changes_as_few_pixels_as_the_closed_form(targeted, weights, generator):
    images = generator.uniform(0.1, 0.9, (4, *SHAPE)).astype(np.float32)
    gains = closed_form_gains(images, weights).cumsum(axis=1)
    for index, needed in enumerate((1, 2, 5, 9)):
        one = images[index : index + 1]
        # Between the gains of one pixel less and of just enough.
        between = gains[index, [needed - 1, needed - 2]] * [1, needed > 1]
        offset = float(np.sum(one.ravel() * weights) + between.mean())
        adversarials, success = run(
            linear(weights, offset),
            one,
            epsilons=[needed - 1, needed, 30],
            targeted=targeted,
        )
        np.testing.assert_array_equal(success[:, 0], [False, True, True])
        assert sizes("l0", adversarials[0] - one) <= needed - 1
        for answer in adversarials[1:]:
            assert sizes("l0", answer - one) == needed


@pytest.mark.parametrize(
    ("norm", "epsilon"), [("l0", 7.0), ("l1", 2.5), ("l2", 1.5)]
)
@pytest.mark.parametrize("binarized", [False, True])
def test_holds_the_budget(norm, epsilon, binarized, weights, generator):
    images = generator.uniform(size=(4, *SHAPE)).astype(np.float32)
    adversarials, success = run(
        linear(weights, 100.0),
        images,
        norm=norm,
        epsilons=epsilon,
        binarized=binarized,
        jit_compile=norm == "l2",
    )
    assert not success.any()
    check_budget(adversarials, images, norm, epsilon * (1 + 1e-6))
    assert (sizes(norm, adversarials - images) > 0.5 * epsilon).all()


def binarized_model(weights, images, needed):
    """Class 1 takes the most rewarding `needed` pixels of the one image."""
    hard = (np.ravel(images) >= 0.5).astype(np.float32)
    gains = -np.sort(-np.where(hard == 1, -weights, weights))
    total = gains[:needed].sum() - 0.5 * gains[needed - 1]
    binarize = layers.Binarize("straight_through")
    return linear(weights, float(hard @ weights + total), view=binarize)


@pytest.mark.parametrize("black_and_white", [False, True])
def test_binarized_crosses_one_half_and_no_more(
    black_and_white, weights, generator
):
    images = generator.uniform(size=(4, *SHAPE)).astype(np.float32)
    if black_and_white:
        images = np.round(images)
    needed = 4
    for index in range(4):
        one = images[index : index + 1]
        score = binarized_model(weights, one, needed)
        adversarials, success = run(
            score, one, epsilons=[needed - 1, needed], binarized=True
        )
        np.testing.assert_array_equal(success[:, 0], [False, True])
        changed = adversarials[1] != one
        assert changed.sum() == needed
        assert set(adversarials[1][changed]) <= {0.5, np.float32(0.49999997)}
        crossed = (one >= 0.5) != (adversarials[1] >= 0.5)
        assert crossed[changed].all()


@pytest.mark.parametrize(
    ("norm", "brightness", "exact"),
    [("l1", 0.0, 2.0), ("l1", 0.04, 1.84), ("l2", 0.0, 1.0), ("l2", 0.1, 0.8)],
)
def test_binarized_spends_a_budget_to_the_last_bit(
    norm, brightness, exact, weights
):
    """Roundings of a sum of costs do not keep the last pixel out."""
    one = np.full((1, *SHAPE), brightness, np.float32)
    _, success = run(
        binarized_model(weights, one, 4),
        one,
        epsilons=[0.99 * exact, exact],
        norm=norm,
        binarized=True,
    )
    np.testing.assert_array_equal(success[:, 0], [False, True])


def test_bounds_are_the_models(weights, generator):
    images = generator.uniform(size=(4, *SHAPE)).astype(np.float32)
    score = linear(weights, np.mean(images.reshape(4, -1) @ weights) + 2.0)
    for norm, epsilon in (("l0", 3.0), ("l1", 2.0), ("l2", 1.5)):
        expected, success = run(score, images, epsilons=epsilon, norm=norm)
        found, found_success = run(
            lambda images: score((images + 1) / 4),
            4 * images - 1,
            epsilons=epsilon * (1 if norm == "l0" else 4),
            bounds=(-1, 3),
            norm=norm,
        )
        np.testing.assert_allclose(found, 4 * expected - 1, atol=1e-5)
        np.testing.assert_array_equal(found_success, success)


def test_treats_every_image_by_itself(weights, generator):
    images = generator.uniform(size=(6, *SHAPE)).astype(np.float32)
    offset = np.median(images.reshape(6, -1) @ weights) + 2.0
    score = linear(weights, offset)
    adversarials, success = run(score, images, epsilons=3.0)
    assert 0 < success.sum() < 6
    for rows in ([4, 2, 5, 0, 3, 1], *([row] for row in range(6))):
        part, part_success = run(score, images[rows], epsilons=3.0)
        np.testing.assert_array_equal(part_success, success[rows])
        np.testing.assert_array_equal(part, adversarials[rows])


def test_candidates_that_are_no_numbers_are_not_taken(generator):
    """The most promising pixel leads to infinity, the second to class 1."""
    images = generator.uniform(0.2, 0.4, (3, *SHAPE)).astype(np.float32)
    weights = np.zeros(PIXELS, np.float32)
    weights[:2] = 2.0, 1.0
    score = linear(weights, 1.4)

    def spoiled(images):
        return tf.where(
            images[:, 0, 0, 0, None] == 1.0, [0.0, np.inf], score(images)
        )

    adversarials, success = run(spoiled, images, epsilons=1.0)
    reachable = 2 * images[:, 0, 0, 0] + 1 > 1.4
    np.testing.assert_array_equal(success, reachable)
    assert (adversarials[:, 0, 0, 0] == images[:, 0, 0, 0]).all()
    assert (adversarials[:, 0, 1, 0] == 1.0).all()


def test_steps_and_proposals(weights, generator):
    images = generator.uniform(size=(2, *SHAPE)).astype(np.float32)
    score = linear(weights, 100.0)
    adversarials, _ = run(score, images, epsilons=30.0, steps=3)
    np.testing.assert_array_equal(sizes("l0", adversarials - images), [3, 3])
    greedy, _ = run(score, images, proposals=1)
    all_tried, _ = run(score, images, proposals=PIXELS + 1)
    np.testing.assert_array_equal(greedy, all_tried)


@pytest.mark.parametrize("score", [constant, flat, not_a_number])
def test_without_a_gradient(score, generator):
    images = generator.uniform(size=(3, *SHAPE)).astype(np.float32)
    adversarials, success = run(score, images)
    assert not success.any()
    check_budget(adversarials, images, "l0", 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "linf"}, "norm must be one of l0, l1, l2, got 'linf'"),
        ({"proposals": 0}, "proposals must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
    ],
    ids=str,
)
def test_misuse_is_told(settings, message):
    with pytest.raises(ValueError, match=message):
        GreedyPixelsAttack(**settings)
