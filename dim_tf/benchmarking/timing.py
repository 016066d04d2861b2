"""Fair timing of rivals on a machine that may be doing other things."""

import time
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

Name = TypeVar("Name", bound=Hashable)


def interleaved(
    calls: Mapping[Name, Callable[[], object]], rounds: int
) -> dict[Name, np.ndarray]:
    """Times rivals in turn, so that a slow moment slows them all.

    Args:
        calls: what to time, by name; each must block until it is done.
        rounds: how often, after one untimed call each.

    Returns:
        Seconds `(rounds,)` by name.
    """
    for call in calls.values():
        call()
    seconds = {name: np.empty(rounds) for name in calls}
    for index in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name][index] = time.perf_counter() - start
    return seconds
