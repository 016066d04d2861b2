"""JSON of an array of numbers, without a Python object for each of them.

An image is 784 lists of a number. To make them, and an array of them, and to
free them takes longer than all else that is to be done to answer with scores.
"""

import contextlib
import itertools
import math
import operator
from collections.abc import Collection
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import simdjson

_ALL_BUT_STRUCTURE = bytes(set(range(256)) - set(b"[],"))


def loads(body: bytes, names: Collection[str] = ()) -> Any:
    """What JSON says; the array of an object may come as an ndarray.

    Args:
        body: JSON.
        names: of what in the object may. One of them does if it is a regular
            array of numbers, int64 or float64, and the body has no other
            brackets.

    Raises:
        orjson.JSONDecodeError: it is no JSON.
    """
    try:
        found = _with_array(body, names) if names else None
    except (ValueError, RuntimeError, KeyError):
        # Of what is wrong, and of what simdjson does not take, such as large
        # integers and names with a zero byte, the other parser shall say what
        # it is.
        found = None
    return orjson.loads(body) if found is None else found


def _with_array(body: bytes, names: Collection[str]) -> dict[str, Any] | None:
    document = simdjson.Parser().parse(body)
    if not isinstance(document, simdjson.Object):
        return None
    values = {name: document[name] for name in document.keys()}
    nested = [
        name
        for name, value in values.items()
        if isinstance(value, simdjson.Array | simdjson.Object)
    ]
    # A name that is there twice is for the other parser, too.
    if len(nested) != 1 or len(values) < len(document):
        return None
    (name,) = nested
    array = values[name]
    if name not in names or not isinstance(array, simdjson.Array):
        return None
    regular = _regular(array, body)
    return None if regular is None else {**values, name: regular}


def _regular(array: simdjson.Array, body: bytes) -> np.ndarray | None:
    """None unless all brackets of the body are those of a regular array."""
    shape = []
    first = array
    while isinstance(first, simdjson.Array) and len(first):
        shape.append(len(first))
        first = first[0]
    lists = sum(itertools.accumulate((1, *shape[:-1]), operator.mul))
    if body.count(b"[") != lists:
        return None
    flat = _flat(array)
    # Before what has a comma for each number is made of the shape.
    if flat is None or flat.size != math.prod(shape):
        return None
    text = body[body.index(b"[") : body.rindex(b"]") + 1]
    if text.translate(None, _ALL_BUT_STRUCTURE) != _structure(shape):
        return None
    return flat.reshape(shape)


def _flat(array: simdjson.Array) -> np.ndarray | None:
    """All that is in an array and in those in it, if it is numbers alone."""
    with contextlib.suppress(TypeError):  # not all are integers
        return np.frombuffer(array.as_buffer(of_type="i"), np.int64)
    with contextlib.suppress(TypeError):
        return np.frombuffer(array.as_buffer(of_type="d"), np.float64)
    return None


def _structure(shape: Sequence[int]) -> bytes:
    """Brackets and commas of nested lists of a shape."""
    if not shape:
        return b""
    return b"[" + b",".join([_structure(shape[1:])] * shape[0]) + b"]"
