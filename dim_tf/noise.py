"""Random noise on images: named kinds, their notation, stateless seeds."""

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf

from dim_tf import config


def fold_in(seed, number):
    """A new seed for one of the parts of what has a seed.

    Args:
        seed: int `(2,)`.
        number: int scalar.

    Returns:
        int64 `(2,)`; parts of one seed are as good as independent.
    """
    return tf.random.fold_in(tf.cast(seed, tf.int64), tf.cast(number, tf.int64))


def _gaussian(images, strength, seed):
    return images + strength * tf.random.stateless_normal(
        tf.shape(images), seed
    )


def _uniform(images, strength, seed):
    return images + strength * tf.random.stateless_uniform(
        tf.shape(images), seed, -1.0, 1.0
    )


def _salt_and_pepper(images, strength, seed):
    # One draw decides both whether a pixel is hit and what it becomes.
    draw = tf.random.stateless_uniform(tf.shape(images), seed)
    noisy = tf.where(draw < strength, 1.0, images)
    return tf.where(draw < strength / 2, 0.0, noisy)


NOISES = {
    "gaussian": _gaussian,
    "uniform": _uniform,
    "salt_and_pepper": _salt_and_pepper,
}


# Beyond this, nothing of an image is left.
_LARGEST = {"gaussian": 100.0, "uniform": 100.0, "salt_and_pepper": 1.0}


@dataclasses.dataclass(frozen=True)
class Noise:
    """A kind of noise, its strength drawn anew for each image.

    Attributes:
        kind: `"gaussian"` (strength = standard deviation), `"uniform"`
            (strength = amplitude) or `"salt_and_pepper"` (strength = share of
            the pixels that become 0 or 1).
        low, high: range of the strength; equal for a fixed one.
    """

    kind: str
    low: float
    high: float


def parse_noise(text: str) -> tuple[Noise, ...]:
    """Reads noise as the flags write it.

    Args:
        text: comma-separated `kind:strength` or `kind:low..high`, applied in
            this order, such as `"gaussian:0..1,salt_and_pepper:0.1"`; empty:
            no noise.

    Raises:
        ValueError: unknown kind, or a strength that is malformed or too large.
    """
    noises = []
    for part in config.listed(text):
        kind, _, strength = part.partition(":")
        if kind not in NOISES:
            raise ValueError(
                f"noise must be one of {', '.join(NOISES)}, got {kind!r}"
            )
        low, _, high = strength.partition("..")
        try:
            bounds = float(low), float(high or low)
        except ValueError:
            bounds = math.nan, math.nan
        if not 0.0 <= bounds[0] <= bounds[1] <= _LARGEST[kind]:
            raise ValueError(
                "noise must be written kind:strength or kind:low..high, such "
                f"as {kind}:0..0.5, with 0 <= low <= high <= "
                f"{_LARGEST[kind]:g}, got {part!r}"
            )
        noises.append(Noise(kind, *bounds))
    return tuple(noises)


def corrupt(images, noises: Sequence[Noise], seed):
    """Adds random noise to images, as in equations (1) and (2).

    The result is not clipped to [0, 1]: clipped noise could only brighten a
    black background, and a model would learn to subtract it.

    Args:
        images: float32 `(batch, 28, 28, 1)`.
        noises: applied one after the other.
        seed: int `(2,)`; the same seed gives the same noise.
    """
    for index, each in enumerate(noises):
        pixel_seed = fold_in(seed, 2 * index)
        strength_seed = fold_in(seed, 2 * index + 1)
        strength = tf.random.stateless_uniform(
            (tf.shape(images)[0], 1, 1, 1), strength_seed, each.low, each.high
        )
        images = NOISES[each.kind](images, strength, pixel_seed)
    return images
