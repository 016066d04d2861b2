"""When an attack of ours is no match for foolbox's."""

from collections.abc import Mapping
from typing import Any

# A point, and rounding; a share of foolbox's distance.
_ACCURACY_MARGIN = 0.01 + 1e-9
_DISTANCE_MARGIN = 0.01


def weaker(record: Mapping[str, Any]) -> bool:
    """Whether our side of a row is less than foolbox's, by more than chance.

    That is a robust accuracy higher by more than a point or a median distance
    larger by more than 1 %, also than the worst that foolbox itself comes to
    with other seeds, where the row has these.
    """
    robust = [record["foolbox_robust_accuracy"]]
    median = [record["foolbox_median_distance"]]
    for other_robust, other_median in record.get("foolbox_spread", ()):
        robust.append(other_robust)
        median.append(other_median)
    own_robust = record["native_robust_accuracy"]
    own_median = record["native_median_distance"]
    return own_robust > max(robust) + _ACCURACY_MARGIN or own_median > (
        1.0 + _DISTANCE_MARGIN
    ) * max(median)
