"""Arrays of numbers, to JSON and from it, are as lists would be."""

import json

import hypothesis
import numpy as np
import orjson
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as arrays

from dim_tf.serving import json_arrays
from dim_tf.serving.http import answer

NAMES = ("instances", "inputs")
NUMBERS = strategies.one_of(
    strategies.floats(-1e300, 1e300), strategies.integers(-(2**62), 2**62)
)
SHAPES = arrays.array_shapes(max_dims=5, max_side=4)


def loads(value):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return json_arrays.loads(body, NAMES)


@hypothesis.given(
    strategies.one_of(
        arrays.arrays(np.float64, SHAPES, elements=NUMBERS),
        arrays.arrays(np.int64, SHAPES),
        arrays.arrays(np.float32, SHAPES, elements={"allow_nan": False}),
    ).filter(lambda array: np.isfinite(array).all())
)
def test_a_regular_array_is_an_ndarray(array):
    value = {"instances": array.tolist(), "signature_name": "x", "y": None}
    found = loads(value)
    assert isinstance(found["instances"], np.ndarray)
    np.testing.assert_array_equal(found["instances"], array)
    assert found["instances"].dtype == np.asarray(array.tolist()).dtype
    assert found | {"instances": 0} == value | {"instances": 0}


NESTED = strategies.recursive(
    strategies.one_of(
        NUMBERS, strategies.booleans(), strategies.none(), strategies.text()
    ),
    lambda inner: strategies.one_of(
        strategies.lists(inner, max_size=4),
        strategies.dictionaries(
            strategies.sampled_from([*NAMES, "[", "x"]), inner
        ),
    ),
)


@hypothesis.given(NESTED)
def test_anything_else_is_as_it_was(value):
    found = loads(value)
    if isinstance(found, dict):
        found = {
            name: each.tolist() if isinstance(each, np.ndarray) else each
            for name, each in found.items()
        }
    assert found == orjson.loads(json.dumps(value))


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [[1, 2], [3]]}',
        b'{"instances": [[1, 2], [3], [4, 5, 6]]}',
        b'{"instances": [[[1], [], [2, 3]]]}',
        b'{"instances": [{"x": 1}, 2]}',
        b'{"instances": [[1], 2]}',
        b'{"instances": [1, [2]]}',
        b'{"instances": [[[1, 2], [3]], [[4], [5, 6]]]}',
        b'{"instances": [[1, true]]}',
        b'{"instances": [[1, null]]}',
        b'{"instances": [[1, "2"]]}',
        b'{"instances": []}',
        b'{"instances": [[], []]}',
        b'{"instances": [1], "inputs": [2]}',
        b'{"instances": [1], "instances": [2]}',
        b'{"instances": [1], "x": {"y": 2}}',
        b'{"instances": [1], "x": "]"}',
        b'{"instances": [1], "x": "]["}',
        b'{"x": "[", "instances": [1], "y": "]"}',
        b'{"instances": {"x": [1]}}',
        b'{"x": [1]}',
        b'{"instances": [1, 18446744073709551616]}',
        b'{"signature_name": "a", "signature_name": "b", "instances": [1]}',
        b'{"instances": [1], "a\\u0000b": 1, "a": [2]}',
        b"[1]",
        b"1",
    ],
)
def test_what_is_not_regular_comes_as_lists(body):
    assert loads(body) == orjson.loads(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"instances": [NaN]}',
        b'{"instances": [1e999]}',
        b'{"instances": [1,]}',
        b'{"instances": [1][2]}',
        b'{"instances": [1] "x": 2}',
        b"[" * 5000,
        b'{"instances":' + b"[" * 1020 + b"1" + b"]" * 1020 + b"}}",
    ],
)
def test_what_is_no_json_is_refused(body):
    with pytest.raises(orjson.JSONDecodeError):
        loads(body)


def test_a_small_body_asks_for_little_memory():
    # Taken for regular, it would have a million million lists.
    row = [[0] * 1000] + [0] * 999
    value = {"instances": [[[row]] * 100, *([0] * 99)]}
    assert loads(value) == value


@hypothesis.given(
    arrays.arrays(
        strategies.sampled_from(["f8", "i8", "?"]),
        arrays.array_shapes(min_dims=0, max_dims=5, max_side=3),
    ).filter(lambda array: np.isfinite(array).all())
)
def test_an_answer_has_the_lists_of_its_arrays(array):
    assert orjson.loads(answer({"x": [array[()]]}).body) == {
        "x": [array.tolist()]
    }


def test_an_answer_has_numbers_that_are_not_finite_as_null():
    array = np.array([[np.nan], [np.inf], [0.1]], np.float32)
    assert answer(array).body == b"[[null],[null],[0.1]]"


def test_what_has_no_json_is_refused():
    with pytest.raises(TypeError, match="not JSON serializable: set"):
        answer({"x": set()})
