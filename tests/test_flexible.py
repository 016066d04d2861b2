"""Inversion, contrast reduction, blur and blended noise."""

import dataclasses

import foolbox
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from closed_forms import constant
from tiny_nets import CLASSES
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import check_rows_are_independent
from tiny_nets import foolbox_model
from tiny_nets import foolbox_result

from dim_tf.attacks import blended_noise
from dim_tf.attacks import blur
from dim_tf.attacks import contrast
from dim_tf.attacks import flexible

DETERMINISTIC = [
    flexible.InversionAttack(),
    contrast.BinarySearchContrastReductionAttack(target=1.0),
    contrast.LinearSearchContrastReductionAttack(steps=60, target=1.0),
    blur.GaussianBlurAttack(steps=60),
    blur.GaussianBlurAttack(steps=60, max_sigma=3.0),
]
BLENDED = blended_noise.LinearSearchBlendedUniformNoiseAttack(
    steps=60, directions=30
)
name_of = lambda attack: type(attack).__name__  # noqa: E731


def run(attack, images=None, labels=None, model=MODEL, epsilons=None):
    images = NET.images if images is None else images
    labels = NET.labels if labels is None else labels
    raw, clipped, success = attack(model, images, labels, epsilons=epsilons)
    return raw.numpy(), clipped.numpy(), success.numpy()


def stock(attack):
    kind = getattr(foolbox.attacks, name_of(attack))
    own = ("jit_compile", "seed", "norm")
    fields = dataclasses.asdict(attack)
    return kind(**{k: v for k, v in fields.items() if k not in own})


@pytest.mark.parametrize("attack", DETERMINISTIC, ids=name_of)
def test_it_is_foolbox_s(attack):
    raw, _, success = run(attack)
    expected = foolbox_result(stock(attack))
    np.testing.assert_allclose(raw.reshape(expected.shape), expected, 0, 1e-5)
    if not isinstance(attack, flexible.InversionAttack):
        assert success.any()


@pytest.mark.parametrize(
    "distance", [foolbox.distances.l1, foolbox.distances.linf]
)
def test_the_distance_decides_how_it_is_clipped(distance):
    attack = flexible.InversionAttack(distance=distance)
    _, clipped, _ = run(attack, epsilons=0.25)
    expected = stock(attack)(MODEL, NET.images, NET.labels, epsilons=0.25)[1]
    np.testing.assert_allclose(clipped, expected, 0, 1e-6)


def test_the_linear_search_stops_at_the_first_success():
    attack = contrast.LinearSearchContrastReductionAttack(steps=50, target=1.0)
    raw, _, success = run(attack)
    images = NET.images.numpy()
    for index in np.flatnonzero(success):
        way = 1.0 - images[index]
        shares = np.arange(50, dtype=np.float32)[:, None, None, None] / 50
        predictions = np.argmax(NET(images[index] + shares * way), 1)
        first = np.argmax(predictions != NET.labels[index].numpy())
        expected = images[index] + shares[first] * way
        np.testing.assert_allclose(raw[index], expected, atol=1e-6)


def test_blur_matrices_are_scipy_s_filter(generator):
    image = generator.uniform(size=(5, 8))
    for sigma in (0.0, 0.3, 2.0, 8.0):
        sigmas = tf.constant([[0.5, sigma]], tf.float64)
        rows = blur.blur_matrices(5, sigmas, 8.0)[0, 1].numpy()
        columns = blur.blur_matrices(8, sigmas, 8.0)[0, 1].numpy()
        np.testing.assert_allclose(
            rows @ image @ columns.T,
            scipy.ndimage.gaussian_filter(image, sigma),
            atol=1e-6,
        )


def test_settings_of_the_blur_are_checked():
    for settings, words in (
        ({"max_sigma": -3.0}, "max_sigma must be at least 0, got -3.0"),
        ({"max_sigma": np.nan}, "max_sigma must be at least 0, got nan"),
        ({"channel_axis": 2}, "channel_axis must be 1 or 3, got 2"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=words):
            blur.GaussianBlurAttack(**settings)


def test_blur_of_channels_first_images(generator):
    images = generator.uniform(size=(3, 2, 4, 5)).astype(np.float32)
    labels = np.zeros(3, np.int64)
    last = np.moveaxis(images, 1, -1)

    def dark(images):
        # Blur moves no pixel of a constant; a corner it does.
        corner = tf.reshape(images, (-1, 40))[:, 0]
        return tf.stack([tf.zeros_like(corner), corner - 0.4], 1)

    model = foolbox_model(dark)
    attack = blur.GaussianBlurAttack(steps=50)
    first = dataclasses.replace(attack, channel_axis=1)
    np.testing.assert_allclose(
        np.moveaxis(run(first, images, labels, model)[0], 1, -1),
        run(attack, last, labels, model)[0],
        atol=1e-6,
    )


@pytest.mark.parametrize("channel_axis", [1, 3])
def test_colors_are_blurred_by_themselves(generator, channel_axis):
    image = generator.uniform(size=(4, 5, 3)).astype(np.float32)
    expected = scipy.ndimage.gaussian_filter(image, (0.7, 0.7, 0))

    def changed(images):
        corner = tf.reshape(images, (-1, 60))[:, 0] - image[0, 0, 0]
        return tf.stack([tf.fill(tf.shape(corner), 1e-3), tf.abs(corner)], 1)

    attack = blur.GaussianBlurAttack(
        steps=1, max_sigma=0.7, channel_axis=channel_axis
    )
    images = np.moveaxis(image[None], 3, channel_axis)
    labels = np.zeros(1, np.int64)
    raw, _, success = run(attack, images, labels, foolbox_model(changed))
    assert success.all()
    found = np.moveaxis(raw, channel_axis, 3)[0]
    np.testing.assert_allclose(found, expected, 0, 1e-6)


def test_blur_needs_two_dimensions():
    flat = np.zeros((2, 36), np.float32)
    model = foolbox_model(lambda images: images[:, :2])
    with pytest.raises(ValueError, match="height, width, channels"):
        run(blur.GaussianBlurAttack(), flat, np.zeros(2, int), model)


def test_blended_noise_lies_between_image_and_noise():
    raw, _, success = run(BLENDED)
    assert success.all()
    again, _, _ = run(BLENDED)
    np.testing.assert_array_equal(raw, again)
    other, _, _ = run(dataclasses.replace(BLENDED, seed=1))
    assert (raw != other).any()
    images = NET.images.numpy()
    change = raw - images
    share = np.abs(change).max(axis=(1, 2, 3))
    assert (share > 0).all()
    assert (share < 1).all()
    # One step less is not enough: the whole path back is classified right.
    for index in range(len(raw)):
        back = np.linspace(0.0, 0.9, 10)[:, None, None, None]
        path = (images[index] + back * change[index]).astype(np.float32)
        predictions = np.argmax(NET(path), 1)
        assert (predictions == NET.labels[index].numpy()).all()


def test_blended_noise_is_as_good_as_foolbox_s():
    raw, _, _ = run(BLENDED)
    images = NET.images.numpy()
    ours = np.linalg.norm((raw - images).reshape(len(raw), -1), axis=1)
    theirs = []
    for seed in range(5):
        tf.random.set_seed(seed)
        result = foolbox_result(stock(BLENDED)).reshape(raw.shape)
        change = (result - images).reshape(len(raw), -1)
        theirs.append(np.median(np.linalg.norm(change, axis=1)))
    assert min(theirs) * 0.8 <= np.median(ours) <= max(theirs) * 1.2


def test_without_adversarial_noise_the_image_is_the_answer():
    labels = np.zeros(len(NET.labels), np.int64)
    raw, _, success = run(BLENDED, None, labels, foolbox_model(constant))
    assert not success.any()
    np.testing.assert_array_equal(raw, NET.images)


def test_directions_must_be_some():
    with pytest.raises(ValueError, match="directions .* at least 1, got 0"):
        blended_noise.LinearSearchBlendedUniformNoiseAttack(directions=0)


@pytest.mark.parametrize("attack", [*DETERMINISTIC[1:], BLENDED], ids=name_of)
def test_neighbors_change_nothing(attack):
    check_rows_are_independent(attack)


@pytest.mark.parametrize("attack", [*DETERMINISTIC[1:]], ids=name_of)
def test_targeted(attack):
    targets = (NET.labels + 1) % CLASSES
    criterion = foolbox.criteria.TargetedMisclassification(targets)
    raw, _, success = run(attack, labels=criterion)
    expected = stock(attack).run(MODEL, NET.images, criterion)
    np.testing.assert_allclose(raw, expected, 0, 1e-5)
    reached = np.argmax(NET(expected), 1) == targets.numpy()
    np.testing.assert_array_equal(success, reached)
    assert success.any()


@pytest.mark.parametrize("epsilon", [0.1, 2.0, 50.0])
def test_contrast_reduction_of_a_given_size(epsilon):
    attack = contrast.L2ContrastReductionAttack()
    raw, _, _ = run(attack, epsilons=epsilon)
    expected = foolbox_result(
        foolbox.attacks.L2ContrastReductionAttack(), epsilon=epsilon
    )
    np.testing.assert_allclose(raw.reshape(expected.shape), expected, 0, 1e-6)
