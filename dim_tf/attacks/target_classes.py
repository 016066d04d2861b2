"""Other classes to head for, one after another."""

import numpy as np
import tensorflow as tf

from dim_tf.attacks.problem import own_class


def most_likely(problem, scores, count: int):
    """The best-scoring classes other than the images' own, best first.

    Args:
        problem: `Problem`.
        scores: float32 `(batch, classes)`.
        count: of classes; fewer where the model has no more.

    Returns:
        int32 `(batch, k)`.
    """
    own = own_class(problem.classes, scores)
    # No score is as low as the own one's place in this order.
    others = tf.where(own, -np.inf, tf.maximum(scores, scores.dtype.min))
    return tf.math.top_k(others, min(count, scores.shape[-1] - 1)).indices


def lead_of(problem, targets, turn):
    """By how much the class of a turn leads over the image's own.

    Args:
        problem: `Problem`.
        targets: int32 `(batch, k)`.
        turn: int32 `(batch,)`; beyond the last class it is that of the last.

    Returns:
        function: scores -> `(batch,)`.
    """
    turn = tf.minimum(turn, targets.shape[1] - 1)
    target = tf.gather(targets, turn, batch_dims=1)

    def of(scores):
        return tf.gather(scores, target, batch_dims=1) - tf.gather(
            scores, problem.classes, batch_dims=1
        )

    return of
