"""Small nets that take thought to fool, images for them, hostile neighbors."""

import eagerpy
import foolbox
import numpy as np
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE

from dim_tf.attacks import graphs
from dim_tf.attacks import splitmix

CLASSES = 3
HIDDEN = 24
# Values of the first pixel that make an image sick or flat.
SICK, FLAT = 1.0, 0.0
# Sums in another order: what a batch size and a processor change.
TINY = 1e-5


class TinyNet:
    """A dense net of tanh, fit to blurry classes without any training.

    Attributes:
        images: float32 tensor `(count, 6, 6, 1)`, of all classes.
        labels: int64 tensor `(count,)`, what the net says to them.
        others: one image of another class for each.
    """

    def __init__(self, count=8, seed=0):
        generator = np.random.default_rng(seed)
        centers = generator.choice([0.15, 0.85], (CLASSES, PIXELS))
        classes = np.arange(300 + count) % CLASSES
        noise = generator.normal(0, 0.15, (len(classes), PIXELS))
        data = np.clip(centers[classes] + noise, 0, 1).astype(np.float32)
        self.first = generator.normal(0, 0.3, (PIXELS, HIDDEN))
        self.first = self.first.astype(np.float32)
        hidden = np.tanh((data - 0.5) @ self.first)
        targets = 10 * np.eye(CLASSES)[classes]
        self.second = np.linalg.lstsq(hidden, targets)[0].astype(np.float32)
        self.images = tf.constant(data[:count].reshape(-1, *SHAPE))
        self.labels = tf.argmax(self(self.images), 1)
        self.others = tf.roll(self.images, 1, 0)

    def __call__(self, images):
        flat = tf.reshape(images, (-1, PIXELS))
        return tf.tanh((flat - 0.5) @ self.first) @ self.second


def foolbox_model(score, bounds=(0.0, 1.0)):
    return foolbox.TensorFlowModel(score, bounds, device="/CPU:0")


NET = TinyNet()
# Compiled graphs are kept for as long as their model is the same.
MODEL = foolbox_model(NET)


def foolbox_result(attack, rows=slice(None), **arguments):
    """What an attack of foolbox itself ends with, flattened."""
    result = attack.run(MODEL, NET.images[rows], NET.labels[rows], **arguments)
    return result.numpy().reshape(len(result), -1)


def draw_like_ours(monkeypatch, seeds, numbers):
    """Lets foolbox draw what our attack draws.

    Args:
        seeds: of the attack's rows.
        numbers: function `shape -> numbers` that tell a draw from others.
    """

    def uniform(_, shape, low=0.0, high=1.0):
        drawn = splitmix.uniform(seeds, PIXELS, *numbers(shape))
        return eagerpy.astensor(tf.reshape(low + (high - low) * drawn, shape))

    def normal(_, shape, mean=0.0, stddev=1.0):
        drawn = splitmix.normal(seeds, PIXELS, *numbers(shape))
        return eagerpy.astensor(tf.reshape(mean + stddev * drawn, shape))

    monkeypatch.setattr(eagerpy, "uniform", uniform)
    monkeypatch.setattr(eagerpy, "normal", normal)


def check_rows(attack, rows=slice(None), model=MODEL, **arguments):
    """Rows of the net's images as an attack sees them."""
    return attack.check(model, NET.images[rows], NET.labels[rows], **arguments)


def final_state(attack, rows=slice(None), **arguments):
    """Everything that one of our minimization attacks ends with."""
    checked = check_rows(attack, rows, **arguments)
    return graphs.run_until_done(attack.compiled(checked), checked.rows)


def check_rows_are_independent(
    attack, epsilons=None, starts=False, tolerance=TINY
):
    """Neighbors, however hostile, change nothing, nor does their number."""
    images, labels, starting_points = _with_hostile_neighbors()
    model = foolbox_model(_sick)
    friendly = np.array([0, 2, 3, 5])

    def run(rows):
        given = {}
        if starts:
            given["starting_points"] = starting_points[rows]
        result, _, success = attack(
            model, images[rows], labels[rows], epsilons=epsilons, **given
        )
        return result.numpy(), success.numpy()

    mixed, success = run(np.arange(len(images)))
    assert np.isfinite(mixed).all()
    assert mixed.min() >= 0
    assert mixed.max() <= 1
    assert success[1]
    reverse, _ = run(np.arange(len(images))[::-1])
    np.testing.assert_allclose(
        reverse[::-1][friendly], mixed[friendly], 0, tolerance
    )
    alone, alone_success = run(friendly)
    np.testing.assert_allclose(alone, mixed[friendly], 0, tolerance)
    np.testing.assert_array_equal(alone_success, success[friendly])
    single, _ = run(friendly[:1])
    np.testing.assert_allclose(single, alone[:1], 0, tolerance)
    return mixed - images


def _with_hostile_neighbors():
    """Images, and among them one misclassified, one sick and one flat."""
    order = [0, 1, 1, 2, 2, 3, 3]
    images, others = NET.images.numpy()[order], NET.others.numpy()[order]
    labels = NET.labels.numpy()[order]
    labels[1] = (labels[1] + 1) % CLASSES
    images[4, 0, 0, 0] = others[4, 0, 0, 0] = SICK
    images[6, 0, 0, 0] = others[6, 0, 0, 0] = FLAT
    return images, labels, others


def _sick(images):
    """No scores for sick images, no gradients for flat ones."""
    corner = tf.reshape(images, (-1, PIXELS))[:, :1]
    scores = NET(images)
    scores = tf.where(corner == FLAT, tf.stop_gradient(scores), scores)
    return tf.where(corner == SICK, np.nan, scores)
