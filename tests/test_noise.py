"""Random noise: what each kind does, its notation, its seeds."""

import numpy as np
import pytest
import tensorflow as tf

from dim_tf import noise


def grey(count):
    return tf.fill((count, 28, 28, 1), 0.5)


def noisy(text, seed=(1, 2), count=100):
    """Grey images with noise in the flags' notation."""
    return noise.corrupt(grey(count), noise.parse_noise(text), seed).numpy()


def test_gaussian_noise_has_the_standard_deviation():
    change = noisy("gaussian:0.3") - 0.5
    assert np.std(change) == pytest.approx(0.3, rel=0.02)
    assert np.mean(change) == pytest.approx(0.0, abs=0.01)
    assert np.max(change) > 0.9  # not clipped to [0, 1]


def test_uniform_noise_fills_its_amplitude():
    change = noisy("uniform:0.3") - 0.5
    assert 0.299 < np.max(change) <= 0.3 + 1e-6
    assert -0.3 - 1e-6 <= np.min(change) < -0.299
    assert np.std(change) == pytest.approx(0.3 / np.sqrt(3), rel=0.02)


def test_salt_and_pepper_hits_its_share_of_the_pixels():
    images = noisy("salt_and_pepper:0.3")
    assert set(np.unique(images)) == {0.0, 0.5, 1.0}
    assert np.mean(images == 0.0) == pytest.approx(0.15, rel=0.05)
    assert np.mean(images == 1.0) == pytest.approx(0.15, rel=0.05)


def test_noises_are_applied_in_order_and_independently():
    images = noisy("gaussian:0.1,salt_and_pepper:0.3")
    hit = (images == 0.0) | (images == 1.0)
    assert np.mean(hit) == pytest.approx(0.3, rel=0.05)
    assert np.std(images[~hit]) == pytest.approx(0.1, rel=0.05)
    twice = noisy("gaussian:0.3,gaussian:0.3") - 0.5
    assert np.std(twice) == pytest.approx(0.3 * np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("kind", noise.NOISES)
@pytest.mark.parametrize("strength", ["0.3", "0.1..0.3"])
def test_seed_decides_the_noise(kind, strength):
    text = f"{kind}:{strength}"
    first = noisy(text, [1, 2], 4)
    np.testing.assert_array_equal(noisy(text, [1, 2], 4), first)
    assert (noisy(text, [1, 3], 4) != first).any()
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize("text", ["", *(f"{kind}:0" for kind in noise.NOISES)])
def test_zero_strength_changes_nothing(text):
    np.testing.assert_array_equal(noisy(text, count=4), grey(4))


def test_a_range_draws_the_strength_of_each_image():
    def strengths(seed):
        change = noisy("gaussian:0.1..0.3", seed, 400) - 0.5
        return (np.std(change, axis=(1, 2, 3)) - 0.1) / 0.2

    first, second = strengths([1, 2]), strengths([1, 3])
    # Uniform in the range: its deciles lie where they should.
    np.testing.assert_allclose(
        np.quantile(first, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.08
    )
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.2


@pytest.mark.parametrize("kind", noise.NOISES)
def test_corrupt_is_the_same_eager_compiled_and_in_a_pipeline(kind):
    noises = noise.parse_noise(f"{kind}:0..0.3")

    def corrupted(images, seed):
        return noise.corrupt(images, noises, seed)

    images, seed = grey(4), tf.constant([1, 2], tf.int64)
    eager = corrupted(images, seed)
    pipeline = tf.data.Dataset.from_tensors((images, seed)).map(corrupted)
    np.testing.assert_array_equal(tf.function(corrupted)(images, seed), eager)
    np.testing.assert_array_equal(next(iter(pipeline)), eager)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pink:0.3", "one of gaussian, uniform, salt_and_pepper, got 'pink'"),
        ("gaussian", "such as gaussian:0..0.5, .* got 'gaussian'"),
        ("gaussian:much", "got 'gaussian:much'"),
        ("gaussian:0.3..0.1", "0 <= low <= high"),
        ("gaussian:0..1..2", "0 <= low <= high"),
        ("gaussian:-1", "0 <= low <= high"),
        ("gaussian:nan", "0 <= low <= high"),
        ("gaussian:0..inf", "0 <= low <= high"),
        ("salt_and_pepper:0..1.1", "high <= 1, got"),
    ],
)
def test_malformed_noise_says_how_to_write_it(text, message):
    with pytest.raises(ValueError, match=message):
        noise.parse_noise(text)


def test_small_strengths_may_be_written_with_an_exponent():
    (only,) = noise.parse_noise("gaussian:1e-3..2e-3")
    assert (only.low, only.high) == (0.001, 0.002)


def test_parts_of_a_seed_differ():
    parts = {
        tuple(noise.fold_in(noise.fold_in((0, 1), a), b).numpy())
        for a in range(4)
        for b in range(4)
    }
    assert len(parts) == 16
