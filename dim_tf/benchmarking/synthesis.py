"""What a classification costs, and what the stack of ABS's classes saves."""

import functools
from collections.abc import Callable
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from dim_tf import layers
from dim_tf import models
from dim_tf.benchmarking import timing
from dim_tf.models import latent_search


def seconds(
    named: Mapping[str, keras.Model], images: np.ndarray, rounds: int
) -> dict[str, np.ndarray]:
    """Seconds of classifying images together, by what does it.

    Args:
        named: models by name, images -> dict with `scores`. One that searches
            latents is also run class by class.
        images: float32 `(n, 28, 28, 1)`.
        rounds: how often; all in turn.

    Returns:
        float64 `(rounds,)` by name.
    """
    rivals: dict[str, Callable] = {}
    for name, model in named.items():
        rivals[name] = tf.function(models.classifier(model))
        if any(layer.name == "search" for layer in model.layers):
            rivals[f"{name}, class by class"] = class_by_class(model)
    batch = tf.constant(images)
    calls = {
        name: functools.partial(_wait, rival, batch)
        for name, rival in rivals.items()
    }
    return timing.interleaved(calls, rounds)


def _wait(rival: Callable, batch: tf.Tensor) -> np.ndarray:
    return rival(batch).numpy()


def class_by_class(model: keras.Model) -> Callable:
    """The scores of ABS, each class's by a compiled function of its own.

    This is how its authors have it: a list of ten autoencoders.

    Args:
        model: ABS, images -> dict.

    Returns:
        Images -> scores `(batch, classes)`, those of the model.
    """
    search = model.get_layer("search")
    config = search.get_config()
    searches = [
        latent_search.LatentSearch(
            _copy(search.decoder, number),
            **{key: config[key] for key in latent_search.SETTINGS},
        )
        for number in range(search.classes)
    ]

    def score(search):
        def call(images):
            found = search(images)
            return -latent_search.evidence_bounds(
                images,
                found["reconstructions"],
                found["latents"],
                search.divergence_weight,
            )

        return tf.function(call)

    functions = [score(search) for search in searches]

    def scores(images):
        return tf.concat([function(images) for function in functions], 1)

    return scores


def _copy(stack: layers.Stack, number: int) -> layers.Stack:
    """One of a stack's copies, as a stack of one."""
    single = layers.Stack.from_config({**stack.get_config(), "count": 1})
    single.build((None, 1, *stack.copy_input_shape))
    weights = [value[number : number + 1] for value in stack.get_weights()]
    single.set_weights(weights)
    return single
