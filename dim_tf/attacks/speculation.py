"""Trying several candidates of a row in one call of the model.

Where few samples are left, a model call costs little more for many candidates
than for one. What follows the first that fools it is thrown away.
"""

import tensorflow as tf

# Candidates are tried together until a model call sees about so many images.
ROWS = 128


def together(problem, most: int = ROWS):
    """How many candidates of each row to try in one call, int32 scalar.

    Args:
        problem: what is attacked.
        most: images that the call may see, if these are fewer than `ROWS`.
    """
    return tf.maximum(1, min(ROWS, most) // problem.batch)


def first_adversarial(problem, candidates):
    """Whether one of a row's candidates is adversarial, and the first such.

    Args:
        problem: what is attacked.
        candidates: float32 `(batch, k, pixels)`.

    Returns:
        bool `(batch,)` and float32 `(batch, pixels)`, the first candidate of a
        row without any.
    """
    hits = problem.fooled_by(candidates)
    first = tf.argmax(hits, 1)
    return tf.reduce_any(hits, 1), tf.gather(candidates, first, batch_dims=1)
