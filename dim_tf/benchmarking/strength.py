"""When an attack of ours is no match for foolbox's."""

import statistics
from collections.abc import Mapping
from typing import Any

# A point, and rounding; a share of foolbox's distance.
_ACCURACY_MARGIN = 0.01 + 1e-9
_DISTANCE_MARGIN = 0.01


def weaker(record: Mapping[str, Any]) -> bool:
    """Whether our side of a row is less than foolbox's, by more than chance.

    That is a robust accuracy higher by more than a point or a median distance
    larger by more than 1 %. Where the row tells what both come to with other
    seeds, it is our median seed beside foolbox's worst.
    """
    robust, median = _by_seed(record, "foolbox")
    own_robust, own_median = map(statistics.median, _by_seed(record, "native"))
    return own_robust > max(robust) + _ACCURACY_MARGIN or own_median > (
        1.0 + _DISTANCE_MARGIN
    ) * max(median)


def _by_seed(record, rival) -> tuple[list[float], list[float]]:
    """Robust accuracies and median distances, the row's own first."""
    own = record[f"{rival}_robust_accuracy"], record[f"{rival}_median_distance"]
    pairs = [own, *record.get(f"{rival}_spread", ())]
    robust, median = zip(*pairs, strict=True)
    return list(robust), list(median)
