"""What is measured on a model: accuracy, margins, latents."""

import math

import keras
import numpy as np
import tensorflow as tf

from dim_tf import data
from dim_tf.caching import kept_with_model
from dim_tf.scores import contenders
from dim_tf.scores import decided

# Images that go together at most, and their values: large ones go fewer.
_BATCH_SIZE = 1_000
_BATCH_VALUES = 4_000_000


def batch_size(shape: tuple[int, ...]) -> int:
    """How many images of a shape may go through a model together."""
    return max(1, min(_BATCH_SIZE, _BATCH_VALUES // math.prod(shape)))


def outputs(model: keras.Model, images, name: str | None = None) -> np.ndarray:
    """Applies a model to many images, a batch at a time.

    Args:
        model: images -> tensor or dict of tensors.
        images: float32 `(n, height, width, channels)`, n > 0.
        name: which output of a multi-output model, such as `"scores"`.

    Returns:
        float32 `(n, ...)`.
    """
    images = np.asarray(images)
    compiled = _compiled(model, name, images.shape[1:])
    size = batch_size(images.shape[1:])
    return np.concatenate(
        [
            compiled(tf.constant(images[start : start + size]))
            for start in range(0, len(images), size)
        ]
    )


@kept_with_model  # which is measured after every epoch
def _compiled(model, name, shape):
    def call(images):
        result = model(images, training=False)
        return result if name is None else result[name]

    # Any batch size: attacks have other numbers of answers judged each time.
    batch = tf.TensorSpec([None, *shape], tf.float32)
    return tf.function(call).get_concrete_function(batch)


def predictions(model: keras.Model, images) -> np.ndarray:
    """Predicted classes int64 `(n,)`; -1 where scores name none.

    See `scores.decided`.
    """
    return _classes(outputs(model, images, "scores"))


def _classes(scores) -> np.ndarray:
    return np.where(decided(scores), scores.argmax(axis=1), -1)


def accuracy(model: keras.Model, examples: data.Examples) -> float:
    """Share of examples that a multi-output model classifies correctly."""
    correct = predictions(model, examples.images) == examples.labels
    return float(correct.mean())


def validation_scalars(
    model: keras.Model, examples: data.Examples
) -> dict[str, float]:
    """Accuracy and, for each class that occurs, the mean margin of its score.

    The margin of an image is its own class's score less the best other one:
    negative where it is misclassified.
    """
    scores = outputs(model, examples.images, "scores")
    own, best_other = contenders(scores, examples.labels)
    margins = own - best_other
    correct = _classes(scores) == examples.labels
    result = {"validation/accuracy": float(correct.mean())}
    for label in np.unique(examples.labels):
        mean = margins[examples.labels == label].mean()
        result[f"margin/class_{label}"] = float(mean)
    return result
