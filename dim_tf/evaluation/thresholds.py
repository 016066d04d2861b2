"""The distances within which an adversarial counts."""

import math
import numbers
from collections.abc import Mapping

import numpy as np

from dim_tf import config

# Section 4 of the paper, whose text swaps those of L0 and Linf.
PAPER = {"l2": 1.5, "linf": 0.3, "l0": 12.0, "l1": 8.0}
# Rounding of float32 that a distance may exceed one by, relatively. Besides, a
# pixel next to white may be rounded by so much, however small the change is.
TOLERANCE = 1e-6
_PIXEL = 1e-7


def beyond(distances: np.ndarray, epsilon: float) -> np.ndarray:
    """Which distances exceed an epsilon by more than a rounding: bool."""
    return distances > epsilon * (1 + TOLERANCE) + _PIXEL


def parse(text: str) -> dict[str, float]:
    """The paper's thresholds with some in place of its own.

    Args:
        text: such as `linf:8/255,l2:0.5`, where black is 0 and white is 1;
            empty: the paper's.

    Raises:
        ValueError: no such text, or as `merged`.
    """
    found = {}
    for pair in config.listed(text):
        norm, _, distance = pair.partition(":")
        part, _, of = distance.partition("/")
        try:
            found[norm] = float(part) / float(of or 1)
        except (ValueError, ZeroDivisionError):
            found[norm] = math.nan
        _check(norm, found[norm], pair)
    return PAPER | found


def merged(some: Mapping[str, float]) -> dict[str, float]:
    """The paper's thresholds with some, by norm, in place of its own.

    Raises:
        ValueError: an unknown norm, a distance that is not positive or not
            finite, or more than white is from black in Linf.
    """
    for norm, value in some.items():
        _check(norm, value, f"{norm}:{value}")
    return PAPER | {norm: float(value) for norm, value in some.items()}


def _check(norm: str, value: float, said: str) -> None:
    known = norm in PAPER and isinstance(value, numbers.Real)
    if not known or not 0 < value < math.inf:
        raise ValueError(
            "thresholds must be written norm:distance, such as "
            f"linf:8/255,l2:0.5, of the norms {', '.join(PAPER)} and positive "
            f"distances, got {said!r}"
        )
    if norm == "linf" and value > 1:
        raise ValueError(
            f"a threshold of {said} is beyond every image: distances are of "
            "pixels from 0 to 1, whatever a model takes; 8 of 255 is linf:8/255"
        )
