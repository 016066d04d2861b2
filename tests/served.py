"""A small DIM behind the service, for its tests."""

import fastapi.testclient
import numpy as np
import tensorflow as tf

from dim_tf import models
from dim_tf.models import dim
from dim_tf.models import saving
from dim_tf.serving import app
from dim_tf.serving.models import Limits
from dim_tf.serving.repository import Repository

PREDICT, INFER = "/v1/models/dim:predict", "/v2/models/dim/infer"
ZEROS = np.zeros((1, 28, 28, 1)).tolist()
LIMITS = Limits(body_bytes=300_000, rows=8, waiting=64, seconds=20.0)
SIZES = dim.DimConfig(denoiser_units=8, denoiser_bottleneck=4, internal_units=6)
OUTPUTS = ("denoised", "label", "latents", "reconstructions", "scores")


def export(folder, name="dim", seed=0):
    tf.keras.utils.set_random_seed(seed)
    model = models.build(name, SIZES)
    saving.export(model, {"seed": seed}, folder / name)
    return model


def save(folder, name, **functions):
    """A SavedModel whose signatures are functions with input signatures."""
    module = tf.Module()
    module.functions = functions
    signatures = {
        key: function.get_concrete_function()
        for key, function in functions.items()
    }
    tf.saved_model.save(module, folder / name / "1", signatures)


def serving(folder, limits=LIMITS, poll_seconds=1000.0):
    repository = Repository(folder)
    repository.refresh()
    return fastapi.testclient.TestClient(
        app.make(repository, limits, poll_seconds),
        raise_server_exceptions=False,
    )


def answer_to(client, path, receive):
    """Status and body for whoever sends the messages that `receive` gives."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    client.portal.call(client.app, scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


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
