"""Results of functions on a model, kept with it and freed with it."""

import functools
from collections.abc import Callable


def kept_with_model(function: Callable) -> Callable:
    """Keeps the results of a function on the model that they are of.

    A cache beside the models would keep them, with their weights, from being
    freed. In the model, it is freed with it, and with copies that share it.

    Args:
        function: of a model, and of anything else that has a hash.
    """
    place = f"_{function.__module__}.{function.__qualname__}"

    @functools.wraps(function)
    def remembered(model, *others, **named):
        cache = functools.lru_cache(maxsize=128)(function)
        return vars(model).setdefault(place, cache)(model, *others, **named)

    return remembered
