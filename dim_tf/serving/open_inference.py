"""The Open Inference Protocol, version 2, over HTTP.

Source: https://github.com/kserve/open-inference-protocol.
"""

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import fastapi
import numpy as np

from dim_tf.serving import tensors
from dim_tf.serving.errors import RequestError
from dim_tf.serving.http import Route
from dim_tf.serving.http import answer
from dim_tf.serving.http import model_of
from dim_tf.serving.http import of_model
from dim_tf.serving.http import read_json
from dim_tf.serving.models import Models
from dim_tf.serving.versions import Signature
from dim_tf.serving.versions import Tensor
from dim_tf.serving.versions import Version

_PREFIX = "/v2/models"
_DATATYPES = {
    "bool": "BOOL",
    **{
        f"{kind}int{n}": f"{kind.upper()}INT{n}"
        for kind in ("", "u")
        for n in (8, 16, 32, 64)
    },
    **{f"float{n}": f"FP{n}" for n in (16, 32, 64)},
}


def routes(models: Models) -> list[Route]:
    """The routes below `/v2`."""

    async def server(request: fastapi.Request):
        del request
        try:
            version = importlib.metadata.version("dim_tf")
        except importlib.metadata.PackageNotFoundError:
            version = "unknown"  # it is run from its folder
        return answer({"name": "dim_tf", "version": version, "extensions": []})

    async def live(request: fastapi.Request):
        del request
        return answer({"live": True})

    async def ready(request: fastapi.Request):
        del request
        is_ready = bool(models.repository.names)
        return answer({"ready": is_ready}, 200 if is_ready else 503)

    async def metadata(request: fastapi.Request):
        return answer(_metadata(models.repository.get(*model_of(request))))

    async def model_ready(request: fastapi.Request):
        found = models.repository.get(*model_of(request))
        return answer({"name": found.name, "ready": True})

    async def infer(request: fastapi.Request):
        found = models.repository.get(*model_of(request))
        body = await read_json(request, models.limits)
        inputs = _inputs(body, found.default, models.limits.rows)
        wanted = _wanted(body, found.default)
        outputs = await models.predict(found.default, inputs)
        said = {"id": body["id"]} if isinstance(body.get("id"), str) else {}
        return answer(
            {
                "model_name": found.name,
                "model_version": str(found.number),
                **said,
                "outputs": [_output(name, outputs[name]) for name in wanted],
            }
        )

    return [
        Route("/v2", server),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
        *of_model(_PREFIX, "", metadata),
        *of_model(_PREFIX, "/ready", model_ready),
        *of_model(_PREFIX, "/infer", infer, "POST"),
    ]


def _metadata(version: Version):
    return {
        "name": version.name,
        "versions": [str(version.number)],
        "platform": "tensorflow_savedmodel",
        "inputs": _described(version.default.inputs),
        "outputs": _described(version.default.outputs),
    }


def _described(of: Mapping[str, Tensor]):
    return [
        {
            "name": name,
            "datatype": _DATATYPES[tensor.dtype.name],
            "shape": [-1 if size is None else size for size in tensor.shape],
        }
        for name, tensor in of.items()
    ]


def _inputs(
    body: dict[str, Any], signature: Signature, max_rows: int
) -> dict[str, np.ndarray]:
    given = {}
    for item in _objects(body, "inputs"):
        name = str(item.get("name"))
        if name in given:
            raise RequestError(400, f"input {name!r} is given twice")
        given[name] = item
    tensors.check_names(given, signature.inputs)
    arrays = {}
    for name, tensor in signature.inputs.items():
        item, expected = given[name], _DATATYPES[tensor.dtype.name]
        if item.get("datatype") != expected:
            raise RequestError(
                400,
                f"input {name!r}: expected the datatype {expected}, got "
                f"{item.get('datatype')!r}",
            )
        shape = item.get("shape")
        if not isinstance(shape, list) or not all(
            type(size) is int for size in shape
        ):
            raise RequestError(
                400, f"input {name!r}: 'shape' must be a list of integers"
            )
        arrays[name] = tensors.from_flat(
            item.get("data"), shape, tensor, max_rows
        )
    tensors.same_rows(arrays)
    return arrays


def _wanted(body: dict[str, Any], signature: Signature) -> list[str]:
    """Names of the outputs that were asked for; all if none was."""
    if not body.get("outputs"):
        return list(signature.outputs)
    names = [str(item.get("name")) for item in _objects(body, "outputs")]
    for name in names:
        if name not in signature.outputs:
            raise RequestError(
                400,
                f"no output {name!r}; the model gives "
                f"{', '.join(signature.outputs)}",
            )
    return names


def _objects(body: dict[str, Any], key: str) -> list[dict[str, Any]]:
    items = body.get(key)
    if not isinstance(items, list) or not all(
        isinstance(item, dict) for item in items
    ):
        raise RequestError(400, f"{key!r} must be a list of objects")
    return items


def _output(name: str, value: np.ndarray):
    return {
        "name": name,
        "shape": list(value.shape),
        "datatype": _DATATYPES[value.dtype.name],
        "data": value.ravel(),
    }
