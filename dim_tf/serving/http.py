"""Bodies in and out: JSON within limits."""

import asyncio
from typing import Any

import fastapi
import orjson

from dim_tf.serving.errors import RequestError
from dim_tf.serving.models import Limits


async def read_json(request: fastapi.Request, limits: Limits) -> dict[str, Any]:
    """The JSON object of a request's body.

    Raises:
        RequestError: 413, 408 or 400: it is too large, too slow or no object.
    """
    try:
        async with asyncio.timeout(limits.seconds):
            body = await _read(request, limits)
    except TimeoutError as error:
        raise RequestError(
            408, f"no complete body within {limits.seconds:g} s"
        ) from error
    try:
        value = orjson.loads(body)
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
    content = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return fastapi.Response(content, status, media_type="application/json")
