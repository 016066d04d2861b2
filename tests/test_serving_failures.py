"""What takes too long is not waited for, and what breaks is not told."""

import asyncio
import dataclasses
import functools
import threading

import httpx2 as httpx
import pytest
from served import LIMITS
from served import ZEROS
from served import answer_to
from served import save
from served import serving
from test_serving_signatures import double
from test_serving_signatures import function

from dim_tf.serving import app
from dim_tf.serving import demo
from dim_tf.serving.repository import Repository
from dim_tf.serving.versions import Signature

TWICE = "/v1/models/twice:predict"


@pytest.fixture
def hurried(tmp_path):
    """Client of a service that has a tenth of a second for everything."""
    save(tmp_path, "twice", serving_default=function(double, (None,)))
    limits = dataclasses.replace(LIMITS, seconds=0.1)
    with serving(tmp_path, limits) as client:
        yield client


def ask(client):
    return client.post(TWICE, json={"instances": [2.0]})


def test_a_body_that_does_not_come_is_not_waited_for(hurried):
    async def receive():
        await asyncio.sleep(20)

    status, body = answer_to(hurried, TWICE, receive)
    assert status == 408
    assert body == b'{"error":"no complete body within 0.1 s"}'


def test_a_model_that_takes_too_long_is_not_waited_for(hurried, monkeypatch):
    go_on, predict = threading.Event(), Signature.predict

    def wait(signature, inputs):
        go_on.wait(20)
        return predict(signature, inputs)

    monkeypatch.setattr(Signature, "predict", wait)
    late = ask(hurried)
    assert late.status_code == 504
    assert late.json() == {"error": "no answer within 0.1 s"}
    go_on.set()
    for _ in range(200):  # as long as the first call still takes
        found = ask(hurried)
        if found.status_code == 200:
            break
    assert found.json() == {"predictions": [4.0]}


def test_what_breaks_inside_is_told_to_the_log_alone(
    tmp_path, monkeypatch, caplog
):
    def breaks(signature, inputs):
        raise RuntimeError("at /secret/path")

    save(tmp_path, "twice", serving_default=function(double, (None,)))
    with serving(tmp_path) as client:
        with monkeypatch.context() as patch:
            patch.setattr(Signature, "predict", breaks)
            broken = ask(client)
        metrics = client.get("/metrics").text
    assert broken.status_code == 500
    assert broken.json() == {"error": "internal error; see the server's log"}
    route = 'route="/v1/models/{name}:predict",status="500"'
    assert f"dim_tf_request_seconds_count{{{route}}} 1.0" in metrics
    assert f"{TWICE} failed" in caplog.text
    assert "RuntimeError: at /secret/path" in caplog.text


def test_one_attack_at_a_time(exported, monkeypatch):
    repository = Repository(exported[0])
    repository.refresh()
    limits = dataclasses.replace(LIMITS, seconds=0.1)
    begun, go_on = threading.Event(), threading.Event()

    def run(*asked):
        begun.set()
        assert go_on.wait(20)
        return {"labels": [3]}

    monkeypatch.setattr(demo, "run", run)
    asked = {"model": "dim", "attack": "linf_fgsm", "image": ZEROS}
    asked |= {"label": 3, "epsilon": 0.5}

    async def ask_all():
        transport = httpx.ASGITransport(app.make(repository, limits, 1000.0))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test"
        ) as client:
            attack = functools.partial(client.post, "/demo/attack", json=asked)
            first = asyncio.create_task(attack())
            await asyncio.to_thread(begun.wait, 20)
            second = await attack()
            go_on.set()
            return await first, second, await attack()

    first, second, third = asyncio.run(ask_all())
    assert (second.status_code, second.json()) == (
        504,
        {"error": "no answer within 0.1 s"},
    )
    for answered in (first, third):
        assert answered.json() == {"labels": [3]}
