"""The service: both protocols, batches, versions."""

import asyncio
import gc
import shutil
import threading
import time
import weakref

import httpx2 as httpx
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format
from served import LIMITS
from served import OUTPUTS
from served import PREDICT
from served import ZEROS
from served import check_rows
from served import expected
from served import export
from served import save
from served import serving
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import get_model_status_pb2

from dim_tf.serving import app
from dim_tf.serving import demo
from dim_tf.serving.errors import RequestError
from dim_tf.serving.models import Limits
from dim_tf.serving.models import Models
from dim_tf.serving.repository import Repository
from dim_tf.serving.repository import Status
from dim_tf.serving.versions import Version


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
    scores = signatures.signature_def["scores"]
    assert scores.inputs["images"].name == "scores_images:0"
    assert set(scores.outputs) == {"label", "scores"}


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_predict_by_row(client, served_model, random_images, version):
    url = f"/v1/models/dim{version}:predict"
    for instances in (
        random_images.tolist(),
        [{"images": image} for image in random_images.tolist()],
    ):
        response = client.post(url, json={"instances": instances})
        assert response.status_code == 200
        check_rows(response.json()["predictions"], served_model, random_images)


def test_predict_by_column(client, served_model, random_images):
    wanted = expected(served_model, random_images)
    for inputs in (random_images.tolist(), {"images": random_images.tolist()}):
        body = {"inputs": inputs, "signature_name": "serving_default"}
        response = client.post("/v1/models/dim:predict", json=body)
        outputs = response.json()["outputs"]
        assert tuple(outputs) == OUTPUTS
        for name, value in outputs.items():
            np.testing.assert_allclose(value, wanted[name], atol=1e-5)


def test_predict_by_another_signature(client, served_model, random_images):
    body = {"instances": random_images.tolist(), "signature_name": "scores"}
    response = client.post(PREDICT, json=body)
    wanted = expected(served_model, random_images)
    rows = response.json()["predictions"]
    for name in ("label", "scores"):
        found = [row.pop(name) for row in rows]
        np.testing.assert_allclose(found, wanted[name], atol=1e-5)
    assert rows == [{}] * len(random_images)


def infer(client, images, **more):
    tensor = {
        "name": "images",
        "shape": list(images.shape),
        "datatype": "FP32",
        "data": images.ravel().tolist(),
    }
    body = {"inputs": [tensor], **more}
    return client.post("/v2/models/dim/infer", json=body)


def test_infer(client, served_model, random_images):
    response = infer(client, random_images, id="seven")
    found = response.json()
    assert response.status_code == 200
    assert (found["model_name"], found["model_version"]) == ("dim", "1")
    assert found["id"] == "seven"
    wanted = expected(served_model, random_images)
    assert tuple(output["name"] for output in found["outputs"]) == OUTPUTS
    for output in found["outputs"]:
        value = np.reshape(output["data"], output["shape"])
        np.testing.assert_allclose(value, wanted[output["name"]], atol=1e-5)
        integer = output["name"] == "label"
        assert output["datatype"] == ("INT64" if integer else "FP32")


def test_infer_of_chosen_outputs(client, random_images):
    found = infer(client, random_images, outputs=[{"name": "label"}]).json()
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


def test_requests_that_wait_go_together(exported, served_model, generator):
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
        check_rows(response.json()["predictions"], served_model, image[None])
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


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def states(client):
    """Known versions of the model, and where they stand."""
    found = client.get("/v1/models/dim").json()["model_version_status"]
    return [(each["version"], each["state"]) for each in found]


def test_a_new_version_is_picked_up(tmp_path, random_images):
    export(tmp_path)
    with serving(tmp_path, poll_seconds=0.05) as client:
        newer = export(tmp_path, seed=1)
        wait_until(lambda: states(client) == [("2", "AVAILABLE")])
        assert client.get("/v2/models/dim").json()["versions"] == ["2"]
        body = {"instances": random_images.tolist()}
        response = client.post(PREDICT, json=body)
        check_rows(response.json()["predictions"], newer, random_images)
        # One that cannot be loaded leaves the last one where it was.
        (tmp_path / "dim" / "3").mkdir()
        (tmp_path / "dim" / "3" / "saved_model.pb").write_bytes(b"no model")
        both = [("3", "END"), ("2", "AVAILABLE")]
        wait_until(lambda: states(client) == both)
        assert client.post(PREDICT, json=body).status_code == 200
        # It was but half-way there.
        files = {"dirs_exist_ok": True, "copy_function": shutil.copyfile}
        shutil.copytree(tmp_path / "dim" / "2", tmp_path / "dim" / "3", **files)
        wait_until(lambda: states(client) == [("3", "AVAILABLE")])
        shutil.rmtree(tmp_path / "dim")
        wait_until(lambda: client.get("/v2/models/dim").status_code == 404)
        assert client.get("/v2/health/ready").status_code == 503


def test_an_older_version_is_served_where_the_newest_is_damaged(
    tmp_path, caplog
):
    export(tmp_path)
    export(tmp_path, seed=1)
    (tmp_path / "dim" / "3").mkdir()
    (tmp_path / "dim" / "3" / "saved_model.pb").write_bytes(b"no model")
    repository = Repository(tmp_path)
    for _ in range(2):
        repository.refresh()
        assert repository.get("dim").number == 2
    assert [record.message[:13] for record in caplog.records] == [
        "dim version 3"
    ]


def test_what_would_take_too_long_is_not_begun(tmp_path, random_images):
    export(tmp_path)
    repository = Repository(tmp_path)
    repository.refresh()
    version, offer = repository.get("dim"), demo.OFFERS["linf_pgd"]
    with pytest.raises(RequestError, match="dim takes .* 480 times that"):
        demo.run(version, 1e-3, offer, random_images[:1], 3, 0.5)


def test_a_model_that_goes_answers_who_waits(tmp_path, random_images):
    model = export(tmp_path)
    repository = Repository(tmp_path)
    repository.refresh()
    served = Models(repository, LIMITS, lambda name, rows: None)
    signature = repository.get("dim").default

    async def ask():
        images = {"images": random_images}
        waiting = [
            asyncio.create_task(served.predict(signature, images))
            for _ in range(5)
        ]
        await asyncio.sleep(0)
        shutil.rmtree(tmp_path / "dim")
        await served.refresh()
        return await asyncio.gather(*waiting)

    threads = threading.active_count()
    for outputs in asyncio.run(ask()):
        wanted = expected(model, random_images)["scores"]
        np.testing.assert_allclose(outputs["scores"], wanted, atol=1e-5)
    assert threading.active_count() <= threads


def test_models_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        Repository(tmp_path / "none")
    with pytest.raises(
        FileNotFoundError, match="no SavedModel of x in .*export"
    ):
        Repository(tmp_path, ["x"])


def test_a_version_that_was_attacked_goes_when_it_is_replaced(
    tmp_path, random_images
):
    export(tmp_path)
    repository = Repository(tmp_path)
    repository.refresh()
    served = Models(repository, LIMITS, lambda name, rows: None)
    version = repository.get("dim")
    demo.run(version, 60, demo.OFFERS["linf_fgsm"], random_images[:1], 3, 0.5)
    replaced = weakref.ref(version)
    del version
    gc.freeze()  # as the command does with what is there at first
    try:
        export(tmp_path, seed=1)
        asyncio.run(served.refresh())
        assert replaced() is None
        assert gc.get_freeze_count()
    finally:
        gc.unfreeze()


def test_a_link_that_leads_nowhere_stops_no_model(tmp_path):
    export(tmp_path)
    export(tmp_path, "im")
    (tmp_path / "dim" / "1" / "nowhere").symlink_to(tmp_path / "nothing")
    repository = Repository(tmp_path)
    repository.refresh()
    assert repository.names == ["dim", "im"]


def test_a_version_is_not_said_to_be_broken_while_it_loads(
    tmp_path, monkeypatch
):
    export(tmp_path)
    repository = Repository(tmp_path)
    repository.refresh()
    shutil.copytree(tmp_path / "dim" / "1", tmp_path / "dim" / "2")
    seen = []

    def load(*arguments):
        seen.append(repository.statuses("dim"))
        return Version(*arguments)

    monkeypatch.setattr("dim_tf.serving.repository.Version", load)
    repository.refresh()
    seen.append(repository.statuses("dim"))
    assert seen == [[Status(1, "AVAILABLE")], [Status(2, "AVAILABLE")]]


def test_a_file_that_is_gone_again_stops_no_other_model(
    tmp_path, monkeypatch, caplog
):
    export(tmp_path)
    export(tmp_path, "im")

    def files(folder):
        if folder.parent.name == "dim":
            raise FileNotFoundError(folder)
        return frozenset()

    repository = Repository(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("dim_tf.serving.repository._files", files)
        repository.refresh()
    assert repository.names == ["im"]
    assert [record.message for record in caplog.records] == [
        "cannot look at dim"
    ]
    repository.refresh()
    assert repository.names == ["dim", "im"]


def test_what_a_model_refuses_is_a_bad_request(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32, name="x")])
    def look_up(x):
        return {"y": tf.gather(tf.range(3.0), x)}

    save(tmp_path, "table", serving_default=look_up)
    with serving(tmp_path) as client:
        url = "/v1/models/table:predict"
        bad = client.post(url, json={"instances": [1, 7]})
        assert bad.status_code == 400
        assert "the model refuses: " in bad.json()["error"]
        good = client.post(url, json={"instances": [2]})
        assert good.json() == {"predictions": [2.0]}
