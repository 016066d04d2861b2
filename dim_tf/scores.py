"""What scores `(n, classes)` say of labels."""

import numpy as np


def decided(scores) -> np.ndarray:
    """Whether scores name a class: none is NaN, and the largest is finite.

    That of a class that cannot be may be minus infinity.

    Args:
        scores: float `(n, classes)`.

    Returns:
        bool `(n,)`.
    """
    return ~np.isnan(scores).any(axis=1) & np.isfinite(scores.max(axis=1))


def others(scores, labels) -> np.ndarray:
    """Scores but those of the labels, which are minus infinity."""
    own = np.arange(scores.shape[1]) == np.reshape(labels, (-1, 1))
    return np.where(own, -np.inf, scores)


def contenders(scores, labels) -> tuple[np.ndarray, np.ndarray]:
    """The labels' scores and the best other ones, both `(n,)`.

    Args:
        scores: float32 `(n, classes)`.
        labels: int64 `(n,)`.
    """
    own = np.take_along_axis(scores, np.reshape(labels, (-1, 1)), 1)[:, 0]
    return own, others(scores, labels).max(axis=1)


def lead(scores, labels) -> np.ndarray:
    """How far the best other class is ahead of the label: positive if fooled.

    NaN where both are infinite alike. Arguments as of `contenders`.
    """
    own, best_other = contenders(scores, labels)
    with np.errstate(invalid="ignore"):
        return best_other - own
