"""Bad requests get an error in JSON, and those of the page an answer."""

import json
import re

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from served import INFER
from served import PREDICT
from served import ZEROS
from served import answer_to
from served import expected

from dim_tf import digits

ATTACK, DIGIT = "/demo/attack", "/demo/digit"
TWOS = np.full((1, 28, 28, 1), 2).tolist()
BIG = [2**63 - 1]
# As an array of strings, each would take as much room as the longest.
STRINGS = ["a"] * 5_000 + ["a" * 100_000]
TENSOR = {
    "name": "images",
    "shape": [1, 28, 28, 1],
    "datatype": "FP32",
    "data": 784 * [0.0],
}
ASKED = {
    "model": "dim",
    "attack": "linf_pgd",
    "image": ZEROS,
    "label": 3,
    "epsilon": 0.5,
}


@pytest.mark.parametrize(
    ("url", "body", "status", "message"),
    [
        (PREDICT, b"{", 400, "JSON Parse error"),
        (PREDICT, b"[1]", 400, "a JSON object"),
        (PREDICT, b"\xff", 400, "JSON Parse error"),
        (PREDICT, b"[" * 5000, 400, "JSON Parse error"),
        (PREDICT, {}, 400, "either 'instances' or 'inputs'"),
        (PREDICT, {"instances": ZEROS, "inputs": ZEROS}, 400, "either"),
        (PREDICT, {"instances": []}, 400, "at least one"),
        (PREDICT, {"instances": 3}, 400, "must be a list"),
        (PREDICT, {"instances": [1, 2]}, 400, r"\[any, 28, 28, 1\], got \[2\]"),
        (PREDICT, {"instances": [[1], [1, 2]]}, 400, "unequal lengths"),
        (PREDICT, {"instances": ["x"]}, 400, "a tensor of numbers"),
        (PREDICT, {"instances": [{"b64": "AA=="}]}, 400, "inputs images"),
        (PREDICT, {"instances": [{"images": 1}, 2]}, 400, "all alike"),
        (PREDICT, {"inputs": {"picture": 1}}, 400, "got picture"),
        (PREDICT, {"instances": 9 * ZEROS}, 400, "1 to 8 rows, got 9"),
        (
            PREDICT,
            {"instances": ZEROS, "signature_name": "x"},
            400,
            "signature name: 'x' not found",
        ),
        (PREDICT, b'{"instances": NaN}', 400, "JSON Parse error"),
        (
            PREDICT,
            {"inputs": np.full((1, 28, 28, 1), 1e300).tolist()},
            400,
            "finite numbers",
        ),
        (PREDICT, b" " * 300_001, 413, "larger than 300000 bytes"),
        ("/v1/models/x:predict", {}, 404, r"not found for request: Latest\(x"),
        (
            "/v1/models/dim/versions/9:predict",
            {},
            404,
            r"Specific\(dim, 9\)",
        ),
        ("/v1/models/dim:classify", {}, 400, "Expected classify signature"),
        ("/v1/models/dim:eat", {}, 400, "no method 'eat'"),
        (INFER, {}, 400, "'inputs' must be a list of objects"),
        (INFER, {"inputs": [TENSOR | {"datatype": "INT8"}]}, 400, "FP32"),
        (INFER, {"inputs": [TENSOR | {"shape": "x"}]}, 400, "'shape' must be"),
        (INFER, {"inputs": [TENSOR | {"shape": [2, 28, 28, 1]}]}, 400, "1568"),
        (INFER, {"inputs": [TENSOR | {"shape": [-1, -784]}]}, 400, "ed shape"),
        (INFER, {"inputs": [TENSOR | {"shape": [1] * 65}]}, 400, "65 sizes"),
        (INFER, {"inputs": [TENSOR | {"shape": 9999 * BIG}]}, 400, "9999 size"),
        (
            INFER,
            {"inputs": [TENSOR | {"shape": [*BIG, 28, 28, 1]}]},
            400,
            "1 to 8 rows, got 9223372036854775807",
        ),
        (INFER, {"inputs": [TENSOR | {"data": STRINGS}]}, 400, "values of str"),
        (PREDICT, {"instances": STRINGS}, 400, "got values of str"),
        (INFER, {"inputs": [TENSOR | {"shape": [784]}]}, 400, "expected shape"),
        (INFER, {"inputs": [TENSOR | {"data": None}]}, 400, "numbers"),
        (INFER, {"inputs": [TENSOR | {"name": []}]}, 400, "inputs images"),
        (
            INFER,
            {"inputs": [TENSOR], "outputs": [{"name": "x"}]},
            400,
            "no output 'x'; the model gives denoised",
        ),
        ("/v2/models/x/infer", {}, 404, "not found"),
        (ATTACK, {"model": "x"}, 404, "not found"),
        (ATTACK, ASKED | {"attack": "x"}, 400, "one of linf_pgd"),
        (ATTACK, ASKED | {"image": [1]}, 400, "expected shape"),
        (ATTACK, ASKED | {"image": TWOS}, 400, r"values in \[0, 1\]"),
        (ATTACK, ASKED | {"label": 10}, 400, "a digit"),
        (ATTACK, ASKED | {"label": True}, 400, "'label' to be a number"),
        (ATTACK, ASKED | {"epsilon": 9}, 400, "above 0, up to 1"),
        (ATTACK, ASKED | {"epsilon": None}, 400, "'epsilon' to be a number"),
        (DIGIT, {}, 400, "rows of pixels"),
        (DIGIT, {"drawing": [3]}, 400, "rows of 1 to 512 pixels"),
        (DIGIT, {"drawing": [[1, 2]]}, 400, "pixels from 0 to 1"),
        (DIGIT, {"drawing": [[1], [1, 0]]}, 400, "unequal lengths"),
        (DIGIT, {"drawing": [[0, 0], [0, 0]]}, 400, "drawing is blank"),
        ("/v3/models", {}, 404, "POST /v3/models"),
        ("/v1/models/dim", {}, 405, "Method Not Allowed"),
    ],
)
def test_bad_requests(client, url, body, status, message):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post(url, content=content)
    assert response.status_code == status
    error = response.json()
    assert error.keys() == {"error"}
    assert re.search(message, error["error"])


def test_an_attack_on_a_served_model(client, served_model, random_images):
    image = random_images[:1]
    (label,) = expected(served_model, image)["label"].tolist()
    for name, epsilon in (("linf_pgd", 0.5), ("l2_pgd", 4.0)):
        asked = {
            "model": "dim",
            "attack": name,
            "image": image.tolist(),
            "label": label,
            "epsilon": epsilon,
        }
        found = client.post(ATTACK, json=asked).json()
        adversarials = np.array(found["images"], np.float32)[..., None]
        changes = (adversarials - image).reshape(len(adversarials), -1)
        order = np.inf if name.startswith("linf") else 2
        sizes = np.linalg.norm(changes, order, axis=1)
        assert (sizes <= np.array(found["epsilons"]) + 1e-5).all()
        assert sizes[0] == 0 and sizes[-1] > 0
        wanted = expected(served_model, adversarials)
        np.testing.assert_array_equal(found["labels"], wanted["label"])
        np.testing.assert_allclose(found["scores"], wanted["scores"], atol=1e-5)
        assert (np.diff(wanted["scores"][[0, -1], label]) < 0).all()


def test_a_drawing_becomes_a_digit(client):
    drawing = np.zeros((60, 80))
    drawing[10:50, 20:25] = 1
    found = client.post(DIGIT, json={"drawing": drawing.tolist()}).json()
    image = np.array(found["image"], np.float32)
    np.testing.assert_array_equal(
        image, digits.normalize(drawing.astype(np.float32))
    )


def test_unknown_models_and_versions(client):
    for url in (
        "/v1/models/x",
        "/v1/models/x/metadata",
        "/v1/models/dim/versions/7",
        "/v1/models/dim/versions/7/metadata",
        "/v1/models/..%2F..%2Fetc",
        "/v2/models/x",
        "/v2/models/dim/versions/2/ready",
    ):
        response = client.get(url)
        assert response.status_code == 404, url
        assert response.json().keys() == {"error"}


_TENSOR = strategies.fixed_dictionaries(
    {"name": strategies.just("images"), "datatype": strategies.just("FP32")},
    optional={
        "shape": strategies.lists(strategies.integers(), max_size=6)
        | strategies.just([1, 28, 28, 1]),
        "data": strategies.deferred(lambda: _JSON),
    },
)
_LEAVES = (
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(max_size=5)
)
_JSON = strategies.recursive(
    _LEAVES,
    lambda inner: (
        strategies.lists(inner, max_size=4)
        | strategies.dictionaries(
            strategies.sampled_from(
                ["images", "name", "shape", "data", "datatype", "b64"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_BODIES = strategies.dictionaries(
    strategies.sampled_from(
        ["instances", "inputs", "outputs", "signature_name", "id", "a\0b"]
    ),
    _JSON,
    max_size=3,
) | strategies.fixed_dictionaries(
    {"inputs": strategies.lists(_TENSOR, min_size=1, max_size=1)}
)


@pytest.mark.slow
@hypothesis.settings(
    max_examples=2_000,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(
    content=strategies.binary(max_size=60)
    | _BODIES.map(lambda body: json.dumps(body).encode()),
    url=strategies.sampled_from(
        [
            PREDICT,
            INFER,
            "/v1/models/dim/versions/1:predict",
            "/v1/models/dim/versions/x:predict",
            "/v2/models/dim/versions/1/infer",
            "/v2/models/bi_dim/infer",
            ATTACK,
            DIGIT,
        ]
    ),
)
def test_no_body_breaks_it(client, content, url):
    response = client.post(url, content=content)
    assert 400 <= response.status_code < 500
    error = response.json()["error"]
    assert error
    assert "/tmp" not in error


def test_a_body_that_is_broken_off_is_no_failure_of_ours(client):
    messages = [
        {"type": "http.request", "body": b'{"instances":', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive():
        return messages.pop(0)

    status, body = answer_to(client, PREDICT, receive)
    assert status == 400
    assert b"broken off" in body
