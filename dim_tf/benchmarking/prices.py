"""What a model's own arithmetic costs, the floor under any attack on it."""

import functools
from collections.abc import Callable

import foolbox
import numpy as np
import tensorflow as tf

from dim_tf.benchmarking import timing

# Batches that passes are measured at, and how often.
_PRICED_BATCHES = (100, 250, 500, 1000, 2000)
_PRICING_ROUNDS = 5


class PassPrices:
    """What a compiled forward and backward pass cost, for one image each.

    An attack's passes at these prices are the floor under its seconds. They are
    those of the cheapest of the batch sizes that attacks use: ours stack
    epsilons or draws, and split what is large.

    Args:
        model: images -> scores.
        images: float32 `(n, ...)`, what passes are made of.
        jit_compile: whether XLA compiles the passes.
    """

    def __init__(
        self,
        model: foolbox.TensorFlowModel,
        images: np.ndarray,
        jit_compile: bool,
    ):
        def gradient(batch):
            with tf.GradientTape() as tape:
                tape.watch(batch)
                total = tf.reduce_sum(tf.square(model(batch)))
            return tape.gradient(total, batch)

        self._calls = {}
        for function in (model, gradient):
            for size in _PRICED_BATCHES:
                shape = size, *images.shape[1:]
                batch = tf.constant(np.resize(images, shape))
                graph = tf.function(function, jit_compile=jit_compile)
                run = graph.get_concrete_function(batch)
                self._calls[function, size] = functools.partial(
                    _run, run, batch
                )
        self._functions = model, gradient

    def measure(self) -> tuple[float, float]:
        """Seconds of a forward and of a backward pass, at this moment."""
        seconds = timing.interleaved(self._calls, _PRICING_ROUNDS)
        forward, both = (
            min(
                float(np.median(seconds[function, size])) / size
                for size in _PRICED_BATCHES
            )
            for function in self._functions
        )
        return forward, max(both - forward, 0.0)


def _run(graph: Callable, images: tf.Tensor) -> np.ndarray:
    return graph(images).numpy()  # blocks until it is there
