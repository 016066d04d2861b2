"""What gradients a model has at clean images."""

import functools

import keras
import numpy as np
import tensorflow as tf

from dim_tf import data
from dim_tf import metrics
from dim_tf.attacks.problem import log_odds_against
from dim_tf.attacks.problem import scores_and_gradient


def largest_entries(model: keras.Model, examples: data.Examples) -> np.ndarray:
    """The largest entry of every image's gradient of the log-odds.

    That is what attacks climb, see `attacks.problem.log_odds_against`.

    Args:
        model: images -> dict with `scores`.
        examples: images and labels, n > 0.

    Returns:
        float32 `(n,)`: 0 where there is no way up, also where the model has
        no gradient at all; NaN where no entry is finite.
    """
    sizes = []
    count = metrics.batch_size(examples.images.shape[1:])
    for first in range(0, len(examples), count):
        images = tf.constant(examples.images[first : first + count])
        labels = examples.labels[first : first + count]
        _, gradients = scores_and_gradient(
            lambda images: model(images, training=False)["scores"],
            functools.partial(log_odds_against, labels),
            images,
        )
        entries = np.abs(gradients.numpy()).reshape(len(labels), -1)
        # Attacks follow what of it is finite.
        sizes.append(np.where(np.isfinite(entries), entries, -1.0).max(1))
    result = np.concatenate(sizes)
    return np.where(result < 0, np.nan, result)
