"""Sizes of perturbations, computed apart from the attacks that made them."""

import numpy as np

_SIZES = {
    "l0": lambda flat: np.count_nonzero(flat, axis=1),
    "l1": lambda flat: np.abs(flat).sum(axis=1),
    "l2": lambda flat: np.sqrt(np.square(flat).sum(axis=1)),
    "linf": lambda flat: np.abs(flat).max(axis=1),
}


def distances(norm: str, images, adversarials) -> np.ndarray:
    """Distance of each image to its adversarial, in double precision.

    Args:
        norm: `"l0"`, `"l1"`, `"l2"` or `"linf"`.
        images, adversarials: `(n, height, width, channels)`.

    Returns:
        float64 `(n,)`.
    """
    images = np.asarray(images, np.float64)
    changes = np.asarray(adversarials, np.float64) - images
    return _SIZES[norm](changes.reshape(len(changes), -1)).astype(np.float64)
