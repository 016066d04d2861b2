"""From what a client wrote to arrays that a model takes."""

import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from dim_tf.serving.errors import RequestError
from dim_tf.serving.versions import Tensor


def as_array(value: Any, tensor: Tensor, max_rows: int) -> np.ndarray:
    """Nested lists of numbers as a batch.

    Args:
        value: what JSON had.
        tensor: what the model takes.
        max_rows: of a batch.

    Raises:
        RequestError: 400, it is not numbers of that shape, or some are not of
            the model's type; says what it is.
    """
    array = _numbers(value, tensor)
    expected = tensor.shape[1:]
    if array.ndim < 1 or array.shape[1:] != expected:
        raise _bad(tensor, f"shape {_shape((None, *expected))}", array.shape)
    if not 1 <= len(array) <= max_rows:
        raise _bad(tensor, f"1 to {max_rows} rows", len(array))
    return array


def from_flat(
    value: Any, shape: Sequence[int], tensor: Tensor, max_rows: int
) -> np.ndarray:
    """A tensor that came as its numbers, flat or nested, and its shape.

    Raises:
        RequestError: 400, as `as_array`, or the numbers do not fill the shape.
    """
    # Before anything is made of them: a client may write what it likes.
    expected = tensor.shape[1:]
    if len(shape) != len(tensor.shape) or tuple(shape[1:]) != expected:
        got = tuple(shape) if len(shape) < 10 else f"{len(shape)} sizes"
        raise _bad(tensor, f"shape {_shape((None, *expected))}", got)
    if not 1 <= shape[0] <= max_rows:
        raise _bad(tensor, f"1 to {max_rows} rows", shape[0])
    array = _numbers(value, tensor)
    size = math.prod(shape)
    if array.size != size:
        raise _bad(tensor, f"{size} values for shape {list(shape)}", array.size)
    return array.reshape(shape)


def check_names(
    given: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Raises RequestError unless exactly the model's inputs are given."""
    if given.keys() != tensors.keys():
        raise RequestError(
            400,
            f"expected the inputs {', '.join(tensors)}, got "
            f"{', '.join(sorted(map(str, given))) or 'none'}",
        )


def same_rows(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises RequestError unless all inputs have as many rows."""
    counts = {len(array) for array in arrays.values()}
    if len(counts) > 1:
        raise RequestError(
            400, f"inputs have different numbers of rows: {sorted(counts)}"
        )


def _numbers(value: Any, tensor: Tensor) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        # As objects, since an array of strings has room for the longest in
        # the place of each.
        leaves = np.array(value, object)
        for kind in set(map(type, leaves.ravel().tolist())):
            if kind not in (int, float, bool):
                got = f"values of {kind.__name__}"
                got = "lists of unequal lengths" if kind is list else got
                raise _bad(tensor, "a tensor of numbers", got)
    array = np.asarray(value)
    kinds = "iufb" if tensor.dtype.kind == "b" else "iuf"
    if array.dtype.kind not in kinds:
        raise _bad(tensor, "a tensor of numbers", f"values of {array.dtype}")
    return _cast(array, tensor)


def _cast(array: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Numbers as the model's: floats rounded, all others as they are."""
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(tensor.dtype)
    if tensor.dtype.kind == "f":
        most = np.finfo(tensor.dtype).max
        expected = f"finite numbers from {-most:g} to {most:g}"
        kept = np.isfinite(cast)
    else:
        low, high = _bounds(tensor.dtype, array.dtype)
        expected = f"integers from {low} to {high}"
        kept = (low <= array) & (array <= high) & (array % 1 == 0)
    if not kept.all():
        expected = f"{expected} ({tensor.dtype.name})"
        raise _bad(tensor, expected, array[~kept][0])
    return cast


def _bounds(dtype: np.dtype, source: np.dtype) -> tuple[int, int]:
    """The least and the largest integer of a type that another can say."""
    if dtype.kind == "b":
        return 0, 1
    limits = np.iinfo(dtype)
    low, high = int(limits.min), int(limits.max)
    if source.kind == "f":
        # Beyond, a float may be of another integer than the client wrote.
        return max(low, 1 - 2**53), min(high, 2**53 - 1)
    return low, high


def _bad(tensor: Tensor, expected: str, got: Any) -> RequestError:
    if isinstance(got, tuple):
        got = _shape(got)
    return RequestError(
        400, f"input {tensor.name!r}: expected {expected}, got {got}"
    )


def _shape(shape: Sequence[int | None]) -> str:
    lengths = ("any" if length is None else str(length) for length in shape)
    return f"[{', '.join(lengths)}]"
