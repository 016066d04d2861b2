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


def first_of(problem, count, candidates, settled, otherwise):
    """The first adversarial of many candidates of each row, a few at a time.

    Args:
        problem: what is attacked.
        count: of candidates, of each row.
        candidates: function: int32 numbers `(k,)` -> float32 `(batch, k,
            pixels)`.
        settled: bool `(batch,)`, rows that are to look for none.
        otherwise: float32 `(batch, pixels)`, for rows that find none.

    Returns:
        float32 `(batch, pixels)`.
    """
    at_once = tf.minimum(together(problem), count)

    def try_some(tried, settled, result):
        # Beyond the last candidate is the last one once more.
        numbers = tf.minimum(tried + tf.range(at_once), count - 1)
        hit, chosen = first_adversarial(problem, candidates(numbers))
        result = tf.where((hit & ~settled)[:, None], chosen, result)
        return tried + at_once, settled | hit, result

    return tf.while_loop(
        lambda tried, settled, result: (
            (tried < count) & ~tf.reduce_all(settled)
        ),
        try_some,
        (0, settled, otherwise),
    )[2]


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
