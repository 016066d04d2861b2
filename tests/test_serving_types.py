"""Models of any type of number: values are taken as they are, or refused."""

import numpy as np
import pytest
import tensorflow as tf
from served import save
from served import serving

TYPES = ("bool", "uint8", "int32", "int64", "uint64", "float16", "float32")
# What a float can say without being near another integer, too.
SAFE = 2**53 - 1


def same(dtype):
    spec = tf.TensorSpec((None, 3), dtype, name="x")
    return tf.function(lambda x: {"y": tf.identity(x)}, [spec])


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """Client of models that give back what they take, one for each type."""
    folder = tmp_path_factory.mktemp("typed")
    for dtype in TYPES:
        save(folder, dtype, serving_default=same(dtype))
    with serving(folder) as client:
        yield client


def predict(client, dtype, row):
    return client.post(f"/v1/models/{dtype}:predict", json={"instances": [row]})


def infer(client, dtype, row):
    kind = dtype.upper().replace("FLOAT", "FP")
    tensor = {"name": "x", "shape": [1, 3], "datatype": kind, "data": row}
    return client.post(f"/v2/models/{dtype}/infer", json={"inputs": [tensor]})


@pytest.mark.parametrize(
    ("dtype", "row"),
    [
        ("bool", [0, 1, 1]),
        ("bool", [False, True, True]),
        ("uint8", [0, 255, 7]),
        ("uint8", [3.0, 255.0, 0.0]),
        ("int32", [-(2**31), 2**31 - 1, 0]),
        ("int64", [-(2**63), 2**63 - 1, SAFE + 2]),
        ("int64", [-SAFE, SAFE, 0.0]),
        ("uint64", [2**64 - 1, 2**63, 2**63 + 1]),
        ("float16", [65504, -2, 0.5]),
        ("float32", [1e38, -2, 0.5]),
    ],
)
@pytest.mark.parametrize("ask", [predict, infer])
def test_what_a_type_has_is_taken_as_it_is(typed, ask, dtype, row):
    response = ask(typed, dtype, row)
    assert response.status_code == 200
    if ask is infer:
        (output,) = response.json()["outputs"]
        found = output["data"]
    else:
        (found,) = response.json()["predictions"]
    if dtype != "float32":
        assert found == row
    np.testing.assert_array_equal(np.float32(found), np.float32(row))


@pytest.mark.parametrize(
    ("dtype", "row", "message"),
    [
        ("bool", [0, 1, 2], "integers from 0 to 1 (bool), got 2"),
        ("bool", [0.5, 1, 0], "integers from 0 to 1 (bool), got 0.5"),
        ("uint8", [300, -1, 0.7], "integers from 0 to 255 (uint8), got 300.0"),
        ("uint8", [1, 2, 256], "integers from 0 to 255 (uint8), got 256"),
        ("uint8", [1, -1, 2], "integers from 0 to 255 (uint8), got -1"),
        ("uint8", [1, 2, 0.7], "integers from 0 to 255 (uint8), got 0.7"),
        (
            "int32",
            [2, 3_000_000_000, 0],
            "integers from -2147483648 to 2147483647 (int32), got 3000000000",
        ),
        (
            "int64",
            [0, 2**63, 2**63],
            f"integers from -{SAFE} to {SAFE} (int64), got",
        ),
        ("int64", [0.0, SAFE + 2, 1], f"-{SAFE} to {SAFE} (int64), got"),
        ("uint64", [0, 1, -1], f"integers from 0 to {2**64 - 1} (uint64)"),
        ("uint64", [2**64, 2**64, 0], f"integers from 0 to {SAFE} (uint64)"),
        ("uint8", [True, True, True], "a tensor of numbers, got values of boo"),
        ("float16", [1, 70_000, 2], "-65504 to 65504 (float16), got 70000"),
        ("float32", [1, 0.5, 1e39], "e+38 (float32), got 1e+39"),
    ],
)
@pytest.mark.parametrize("ask", [predict, infer])
def test_what_a_type_has_not_is_refused(typed, ask, dtype, row, message):
    response = ask(typed, dtype, row)
    assert response.status_code == 400
    assert response.json()["error"].startswith("input 'x': expected ")
    assert message in response.json()["error"]
