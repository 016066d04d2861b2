"""The service: both protocols, limits, batches, versions, bad requests."""

import asyncio
import json
import re
import shutil

import fastapi.testclient
import httpx2 as httpx
import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from hypothesis import strategies
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2

from dim_tf import digits
from dim_tf import models
from dim_tf.models import dim
from dim_tf.models import saving
from dim_tf.serving import app
from dim_tf.serving.models import Limits
from dim_tf.serving.repository import Repository

LIMITS = Limits(body_bytes=300_000, rows=8, waiting=64, seconds=20.0)
SIZES = dim.DimConfig(denoiser_units=8, denoiser_bottleneck=4, internal_units=6)
OUTPUTS = ("denoised", "label", "latents", "reconstructions", "scores")


def export(folder, name="dim", seed=0):
    tf.keras.utils.set_random_seed(seed)
    model = models.build(name, SIZES)
    saving.export(model, {"seed": seed}, folder / name)
    return model


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    return folder, export(folder)


@pytest.fixture(scope="module")
def model(exported):
    return exported[1]


@pytest.fixture(scope="module")
def client(exported):
    with serving(exported[0]) as client:
        yield client


def serving(folder, limits=LIMITS, poll_seconds=1000.0):
    repository = Repository(folder)
    repository.refresh()
    return fastapi.testclient.TestClient(
        app.make(repository, limits, poll_seconds),
        raise_server_exceptions=False,
    )


@pytest.fixture
def images(generator):
    return generator.uniform(size=(3, 28, 28, 1)).astype(np.float32)


def expected(model, images):
    outputs = {k: v.numpy() for k, v in model(images).items()}
    return {**outputs, "label": outputs["scores"].argmax(1)}


def check_rows(predictions, model, images):
    wanted = expected(model, images)
    assert len(predictions) == len(images)
    for row, prediction in enumerate(predictions):
        assert tuple(prediction) == OUTPUTS
        for name, value in prediction.items():
            np.testing.assert_allclose(value, wanted[name][row], atol=1e-5)


def test_status(client):
    response = client.get("/v1/models/dim")
    assert response.json() == {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    assert client.get("/v1/models/dim/versions/1").json() == response.json()
    message = get_model_status_pb2.GetModelStatusResponse()
    json_format.Parse(response.text, message)
    assert message.model_version_status[0].version == 1


def test_metadata(client):
    found = client.get("/v1/models/dim/metadata").json()
    assert found["model_spec"] == {
        "name": "dim",
        "signature_name": "",
        "version": "1",
    }
    signatures = get_model_metadata_pb2.SignatureDefMap()
    json_format.ParseDict(found["metadata"]["signature_def"], signatures)
    signature = signatures.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    shapes = {
        name: tuple(dim.size for dim in info.tensor_shape.dim)
        for name, info in signature.outputs.items()
    }
    assert shapes == {
        "denoised": (-1, 28, 28, 1),
        "label": (-1,),
        "latents": (-1, 10, 10),
        "reconstructions": (-1, 10, 28, 28, 1),
        "scores": (-1, 10),
    }
    assert signature.inputs["images"].dtype == tf.float32.as_datatype_enum
    assert signature.outputs["label"].dtype == tf.int64.as_datatype_enum


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_predict_by_row(client, model, images, version):
    url = f"/v1/models/dim{version}:predict"
    for instances in (
        images.tolist(),
        [{"images": image} for image in images.tolist()],
    ):
        response = client.post(url, json={"instances": instances})
        assert response.status_code == 200
        check_rows(response.json()["predictions"], model, images)


def test_predict_by_column(client, model, images):
    wanted = expected(model, images)
    for inputs in (images.tolist(), {"images": images.tolist()}):
        body = {"inputs": inputs, "signature_name": "serving_default"}
        response = client.post("/v1/models/dim:predict", json=body)
        outputs = response.json()["outputs"]
        assert tuple(outputs) == OUTPUTS
        for name, value in outputs.items():
            np.testing.assert_allclose(value, wanted[name], atol=1e-5)


def infer(client, images, **more):
    tensor = {
        "name": "images",
        "shape": list(images.shape),
        "datatype": "FP32",
        "data": images.ravel().tolist(),
    }
    body = {"inputs": [tensor], **more}
    return client.post("/v2/models/dim/infer", json=body)


def test_infer(client, model, images):
    response = infer(client, images, id="seven")
    found = response.json()
    assert response.status_code == 200
    assert (found["model_name"], found["model_version"]) == ("dim", "1")
    assert found["id"] == "seven"
    wanted = expected(model, images)
    assert tuple(output["name"] for output in found["outputs"]) == OUTPUTS
    for output in found["outputs"]:
        value = np.reshape(output["data"], output["shape"])
        np.testing.assert_allclose(value, wanted[output["name"]], atol=1e-5)
        integer = output["name"] == "label"
        assert output["datatype"] == ("INT64" if integer else "FP32")


def test_infer_of_chosen_outputs(client, images):
    found = infer(client, images, outputs=[{"name": "label"}]).json()
    assert [output["name"] for output in found["outputs"]] == ["label"]
    assert "id" not in found


def test_open_inference_health_and_metadata(client):
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    ready = client.get("/v2/models/dim/versions/1/ready")
    assert ready.json() == {"name": "dim", "ready": True}
    assert client.get("/v2").json().keys() == {"name", "version", "extensions"}
    found = client.get("/v2/models/dim").json()
    assert found["platform"] == "tensorflow_savedmodel"
    assert found["versions"] == ["1"]
    assert found["inputs"] == [
        {"name": "images", "datatype": "FP32", "shape": [-1, 28, 28, 1]}
    ]
    assert {"name": "label", "datatype": "INT64", "shape": [-1]} in found[
        "outputs"
    ]


PREDICT, INFER = "/v1/models/dim:predict", "/v2/models/dim/infer"
ATTACK, DIGIT = "/demo/attack", "/demo/digit"
TWOS = np.full((1, 28, 28, 1), 2).tolist()
ZEROS = np.zeros((1, 28, 28, 1)).tolist()
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
        (INFER, {"inputs": [TENSOR | {"shape": [-1, -784]}]}, 400, "values"),
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


def test_an_attack_on_a_served_model(client, model, images):
    image = images[:1]
    (label,) = expected(model, image)["label"].tolist()
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
        wanted = expected(model, adversarials)
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


def test_requests_that_wait_go_together(exported, model, generator):
    images = generator.uniform(size=(20, 28, 28, 1)).astype(np.float32)
    repository = Repository(exported[0])
    repository.refresh()
    service = app.make(repository, LIMITS, 1000.0)

    async def ask_all():
        transport = httpx.ASGITransport(service)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test"
        ) as client:
            bodies = [{"instances": [image.tolist()]} for image in images]
            responses = await asyncio.gather(
                *(client.post(PREDICT, json=body) for body in bodies)
            )
            return responses, (await client.get("/metrics")).text

    responses, metrics = asyncio.run(ask_all())
    for response, image in zip(responses, images, strict=True):
        check_rows(response.json()["predictions"], model, image[None])
    counts = dict(
        line.rsplit(" ", 1)
        for line in metrics.splitlines()
        if line.startswith("dim_tf_batch_rows_")
    )
    assert float(counts['dim_tf_batch_rows_sum{model="dim"}']) == 20
    assert float(counts['dim_tf_batch_rows_count{model="dim"}']) <= 12
    route = 'route="/v1/models/{name}:predict",status="200"'
    assert f"dim_tf_request_seconds_count{{{route}}} 20.0" in metrics


def test_too_many_requests_are_turned_away(exported):
    repository = Repository(exported[0])
    repository.refresh()
    limits = Limits(body_bytes=300_000, rows=1, waiting=2, seconds=20.0)
    service = app.make(repository, limits, 1000.0)

    async def ask_all():
        transport = httpx.ASGITransport(service)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test"
        ) as client:
            body = {"instances": ZEROS}
            return await asyncio.gather(
                *(client.post(PREDICT, json=body) for _ in range(30))
            )

    statuses = {response.status_code for response in asyncio.run(ask_all())}
    assert statuses == {200, 429}


def test_a_new_version_is_picked_up(tmp_path, images):
    export(tmp_path)
    with serving(tmp_path, poll_seconds=0.05) as client:
        newer = export(tmp_path, seed=1)
        for _ in range(200):
            found = client.get("/v2/models/dim").json()["versions"]
            if found == ["2"]:
                break
            asyncio.run(asyncio.sleep(0.05))
        assert found == ["2"]
        body = {"instances": images.tolist()}
        response = client.post(PREDICT, json=body)
        check_rows(response.json()["predictions"], newer, images)
        # One that cannot be loaded leaves the last one where it was.
        (tmp_path / "dim" / "3").mkdir()
        (tmp_path / "dim" / "3" / "saved_model.pb").write_bytes(b"no model")
        for _ in range(200):
            states = client.get("/v1/models/dim").json()["model_version_status"]
            if len(states) == 2:
                break
            asyncio.run(asyncio.sleep(0.05))
        assert [state["state"] for state in states] == ["END", "AVAILABLE"]
        assert client.post(PREDICT, json=body).status_code == 200
        shutil.rmtree(tmp_path / "dim")
        for _ in range(200):
            if client.get("/v2/models/dim").status_code == 404:
                break
            asyncio.run(asyncio.sleep(0.05))
        assert client.get("/v2/health/ready").status_code == 503


def test_models_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        Repository(tmp_path / "none")
    with pytest.raises(
        FileNotFoundError, match="no SavedModel of x in .*export"
    ):
        Repository(tmp_path, ["x"])


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
        ["instances", "inputs", "outputs", "signature_name", "id", "x"]
    ),
    _JSON,
    max_size=3,
)


@pytest.mark.slow
@hypothesis.settings(
    max_examples=2_000,
    deadline=None,
    derandomize=True,
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
