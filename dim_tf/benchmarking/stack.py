"""The stack of ten autoencoders against two plainer ways to train them.

All three have the same sizes, loss, optimizer, images and compiler (XLA, as in
the training itself); what differs is how the ten are put together.
"""

import functools
import math

import keras
import numpy as np
import tensorflow as tf

from dim_tf import data
from dim_tf.benchmarking import timing
from dim_tf.models import dim
from dim_tf.training.dim import internal_loss


def time_steps(sizes: dim.DimConfig, batch_size: int, rounds: int):
    """Seconds per training step `(rounds,)`, by way of stacking."""
    generator = np.random.default_rng(0)
    images = tf.constant(
        generator.uniform(size=(batch_size, *data.IMAGE_SHAPE)), tf.float32
    )
    labels = tf.constant(generator.integers(10, size=batch_size))
    steps = {
        "one stack": _stack_step(sizes),
        "ten models, one step each": _separate_step(sizes),
        "ten models in one compiled step": _loop_step(sizes),
    }
    calls = {
        name: functools.partial(_finish, step, images, labels)
        for name, step in steps.items()
    }
    return timing.interleaved(calls, rounds)


def _finish(step, images, labels) -> float:
    return float(step(images, labels))  # waits for the result


def _autoencoder(sizes: dim.DimConfig) -> keras.Model:
    pixels = math.prod(data.IMAGE_SHAPE)
    hidden = sizes.internal_activation
    return keras.Sequential(
        [
            keras.Input(data.IMAGE_SHAPE),
            keras.layers.Flatten(),
            keras.layers.Dense(sizes.internal_units, hidden),
            keras.layers.Dense(sizes.latent_units),
            keras.layers.Dense(sizes.internal_units, hidden),
            keras.layers.Dense(pixels, sizes.internal_output),
            keras.layers.Reshape(data.IMAGE_SHAPE),
        ]
    )


def _compiled_step(variables, loss):
    optimizer = keras.optimizers.Adam()
    optimizer.build(variables)

    @tf.function(jit_compile=True)
    def step(images, labels):
        with tf.GradientTape() as tape:
            value = loss(images, labels)
        gradients = tape.gradient(value, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return value

    return step


def _stack_step(sizes):
    stack = dim.build_internal_models(sizes)

    def loss(images, labels):
        outputs = stack(images, training=True)["reconstructions"]
        return tf.reduce_mean(internal_loss(outputs, images, labels, 9.0))

    return _compiled_step(stack.trainable_variables, loss)


def _own_loss(model, index, images, labels):
    own = tf.cast(labels == index, tf.float32)
    wanted = images * own[:, None, None, None]
    errors = tf.reduce_sum(
        tf.square(model(images, training=True) - wanted), (1, 2, 3)
    )
    return tf.reduce_mean(errors * (1.0 + 8.0 * own)) / 18.0


def _separate_step(sizes):
    def one(index):
        model = _autoencoder(sizes)
        return _compiled_step(
            model.trainable_variables,
            lambda images, labels: _own_loss(model, index, images, labels),
        )

    steps = [one(index) for index in range(data.NUM_CLASSES)]
    return lambda images, labels: sum(step(images, labels) for step in steps)


def _loop_step(sizes):
    autoencoders = [_autoencoder(sizes) for _ in range(data.NUM_CLASSES)]

    def loss(images, labels):
        return tf.add_n(
            [
                _own_loss(model, index, images, labels)
                for index, model in enumerate(autoencoders)
            ]
        )

    variables = [v for model in autoencoders for v in model.trainable_variables]
    return _compiled_step(variables, loss)
