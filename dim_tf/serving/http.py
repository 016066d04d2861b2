"""Routes, and bodies in and out: JSON within limits."""

from collections.abc import Awaitable
from collections.abc import Callable
from collections.abc import Collection
from typing import Any

import fastapi
import numpy as np
import orjson
import starlette.requests
import starlette.routing
from starlette.types import Scope

from dim_tf.serving import json_arrays
from dim_tf.serving.errors import RequestError
from dim_tf.serving.errors import within
from dim_tf.serving.models import Limits

Endpoint = Callable[[fastapi.Request], Awaitable[fastapi.Response]]


class Route(starlette.routing.Route):
    """A route that metrics find in the scope, as they find FastAPI's.

    FastAPI's own take a fifth of the time of a request to look for parameters
    of every kind, of which there are none here.
    """

    def matches(self, scope: Scope) -> tuple[starlette.routing.Match, Scope]:
        match, found = super().matches(scope)
        return match, {**found, "route": self}


def of_model(
    prefix: str, suffix: str, endpoint: Endpoint, method: str = "GET"
) -> list[Route]:
    """Routes of a model, and of a version of it, that have one endpoint.

    Args:
        prefix, suffix: of the path, about the model's name and the version.
        endpoint: which finds both by `model_of`.
        method: that it answers to.
    """
    return [
        Route(f"{prefix}/{{name}}{version}{suffix}", endpoint, methods=[method])
        for version in ("", "/versions/{version}")
    ]


def model_of(request: fastapi.Request) -> tuple[str, str | None]:
    """The model's name and the version that a path has; None: any version."""
    return request.path_params["name"], request.path_params.get("version")


async def read_json(
    request: fastapi.Request, limits: Limits, arrays: Collection[str] = ()
) -> dict[str, Any]:
    """The JSON object of a request's body.

    Args:
        request: whose body is not read yet.
        limits: of the body.
        arrays: names of what may come as an ndarray, see `json_arrays.loads`.

    Raises:
        RequestError: 413, 408 or 400: it is too large, too slow, broken off or
            no object.
    """
    try:
        async with within(limits.seconds, 408, "complete body"):
            body = await _read(request, limits)
    except starlette.requests.ClientDisconnect as error:
        raise RequestError(400, "the body was broken off") from error
    try:
        value = json_arrays.loads(body, arrays)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"JSON Parse error: {error}") from error
    if not isinstance(value, dict):
        raise RequestError(400, "expected a JSON object as the body")
    return value


async def _read(request: fastapi.Request, limits: Limits) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limits.body_bytes:
            raise RequestError(
                413, f"the body is larger than {limits.body_bytes} bytes"
            )
    return bytes(body)


def answer(value: Any, status: int = 200) -> fastapi.Response:
    """A response with a value, arrays included, as JSON."""
    content = orjson.dumps(value, default=_fragment)
    return fastapi.Response(content, status, media_type="application/json")


def _fragment(value: Any) -> orjson.Fragment:
    """JSON of what has no type of JSON's own."""
    if isinstance(value, np.ndarray):
        return orjson.Fragment(_of_array(value))
    return orjson.Fragment(_plain(value))


def _of_array(array: np.ndarray) -> bytes:
    if array.ndim > 1 and array.size and array.shape[-1] == 1:
        # A list takes as long as five numbers. Without the innermost, of one
        # number, all that is missing are brackets on both sides of each comma.
        numbers = _of_array(array.squeeze(-1))
        return b"[" + numbers.replace(b",", b"],[") + b"]"
    return _plain(array)


def _plain(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
