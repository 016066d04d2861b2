"""The REST interface of TensorFlow Serving.

Source: https://www.tensorflow.org/tfx/serving/api_rest. Versions have no
labels here, and the models no signatures for `:classify` and `:regress`.
"""

from collections.abc import Mapping
from typing import Any

import fastapi
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from dim_tf.serving import tensors
from dim_tf.serving.errors import RequestError
from dim_tf.serving.http import Route
from dim_tf.serving.http import answer
from dim_tf.serving.http import model_of
from dim_tf.serving.http import of_model
from dim_tf.serving.http import read_json
from dim_tf.serving.models import Models
from dim_tf.serving.versions import DEFAULT
from dim_tf.serving.versions import Signature
from dim_tf.serving.versions import Tensor
from dim_tf.serving.versions import Version

_PREFIX = "/v1/models"
_METHOD = "tensorflow/serving/predict"


def routes(models: Models) -> list[Route]:
    """The routes below `/v1/models`."""

    async def status(request: fastapi.Request):
        return answer(_statuses(models, *model_of(request)))

    async def metadata(request: fastapi.Request):
        return answer(_metadata(models.repository.get(*model_of(request))))

    async def predict(request: fastapi.Request):
        found = models.repository.get(*model_of(request))
        body = await read_json(request, models.limits, ("instances", "inputs"))
        signature = _signature(body, found)
        inputs, by_row = _inputs(body, signature, models.limits.rows)
        outputs = await models.predict(signature, inputs)
        return answer(_by_row(outputs) if by_row else _by_name(outputs))

    async def other(request: fastapi.Request):
        models.repository.get(*model_of(request))
        method = request.path_params["method"]
        if method not in ("classify", "regress"):
            raise RequestError(400, f"Malformed request: no method {method!r}")
        raise RequestError(
            400,
            f"Expected {method} signature method_name to be "
            f"tensorflow/serving/{method}. Was: {_METHOD}",
        )

    return [
        *of_model(_PREFIX, "", status),
        *of_model(_PREFIX, "/metadata", metadata),
        *of_model(_PREFIX, ":predict", predict, "POST"),
        *of_model(_PREFIX, ":{method}", other, "POST"),
    ]


def _statuses(models: Models, name: str, version: str | None = None):
    found = [
        status
        for status in models.repository.statuses(name)
        if version in (None, str(status.number))
    ]
    if not found:
        raise RequestError(
            404, f"Could not find version {version} of model {name}"
        )
    return {
        "model_version_status": [
            {
                "version": str(status.number),
                "state": status.state,
                "status": {
                    "error_code": "UNKNOWN" if status.error else "OK",
                    "error_message": status.error,
                },
            }
            for status in found
        ]
    }


def _metadata(version: Version):
    signatures = {
        name: {
            "inputs": _tensor_infos(signature.inputs, name),
            "outputs": _tensor_infos(signature.outputs, name),
            "method_name": _METHOD,
        }
        for name, signature in version.signatures.items()
    }
    return {
        "model_spec": {
            "name": version.name,
            "signature_name": "",
            "version": str(version.number),
        },
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _tensor_infos(of: Mapping[str, Tensor], signature: str):
    return {
        name: {
            "dtype": types_pb2.DataType.Name(
                tf.as_dtype(tensor.dtype).as_datatype_enum
            ),
            "tensor_shape": {
                "dim": [
                    {"size": str(-1 if size is None else size), "name": ""}
                    for size in tensor.shape
                ],
                "unknown_rank": False,
            },
            "name": f"{signature}_{name}:0",
        }
        for name, tensor in of.items()
    }


def _signature(body: dict[str, Any], version: Version) -> Signature:
    name = body.get("signature_name", "") or DEFAULT
    if not isinstance(name, str) or name not in version.signatures:
        raise RequestError(400, f"Serving signature name: {name!r} not found")
    return version.signatures[name]


def _inputs(
    body: dict[str, Any], signature: Signature, max_rows: int
) -> tuple[dict[str, np.ndarray], bool]:
    """Checked inputs, and whether they came row by row."""
    by_row = "instances" in body
    if by_row == ("inputs" in body):
        raise RequestError(
            400, "the body must have either 'instances' or 'inputs'"
        )
    given = body["instances"] if by_row else body["inputs"]
    named = (
        _of_rows(given, signature) if by_row else _of_names(given, signature)
    )
    tensors.check_names(named, signature.inputs)
    arrays = {
        name: tensors.as_array(named[name], tensor, max_rows)
        for name, tensor in signature.inputs.items()
    }
    tensors.same_rows(arrays)
    return arrays, by_row


def _of_rows(given: Any, signature: Signature) -> dict[str, Any]:
    if not isinstance(given, list | np.ndarray) or not len(given):
        raise RequestError(400, "'instances' must be a list of at least one")
    if not isinstance(given[0], dict):
        return {_only_input(signature): given}
    for instance in given:
        if not isinstance(instance, dict):
            raise RequestError(
                400, "'instances' must be objects, or values, all alike"
            )
        tensors.check_names(instance, signature.inputs)
    return {
        name: [instance[name] for instance in given]
        for name in signature.inputs
    }


def _of_names(given: Any, signature: Signature) -> dict[str, Any]:
    if isinstance(given, dict):
        return given
    return {_only_input(signature): given}


def _only_input(signature: Signature) -> str:
    if len(signature.inputs) != 1:
        raise RequestError(
            400, f"name the inputs: {', '.join(signature.inputs)}"
        )
    return next(iter(signature.inputs))


def _by_row(outputs: Mapping[str, np.ndarray]):
    if len(outputs) == 1:
        return {"predictions": next(iter(outputs.values()))}
    names = list(outputs)
    return {
        "predictions": [
            dict(zip(names, row, strict=True))
            for row in zip(*outputs.values(), strict=True)
        ]
    }


def _by_name(outputs: Mapping[str, np.ndarray]):
    if len(outputs) == 1:
        return {"outputs": next(iter(outputs.values()))}
    return {"outputs": dict(outputs)}
