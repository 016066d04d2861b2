"""The service as an ASGI application."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

import fastapi
import prometheus_client
import starlette.exceptions
from starlette.types import ASGIApp
from starlette.types import Message
from starlette.types import Receive
from starlette.types import Scope
from starlette.types import Send

from dim_tf.serving import demo
from dim_tf.serving import open_inference
from dim_tf.serving import tensorflow_rest
from dim_tf.serving.errors import RequestError
from dim_tf.serving.http import answer
from dim_tf.serving.models import Limits
from dim_tf.serving.models import Models
from dim_tf.serving.repository import Repository

_LOG = logging.getLogger(__name__)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


def make(
    repository: Repository, limits: Limits, poll_seconds: float
) -> fastapi.FastAPI:
    """The service of a repository.

    Args:
        repository: refreshed, so that its models are warm.
        limits: of the requests.
        poll_seconds: between two looks for new versions.
    """
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=registry)
    rows = prometheus_client.Histogram(
        "dim_tf_batch_rows",
        "Images of a model call.",
        ("model",),
        buckets=_ROWS,
        registry=registry,
    )
    models = Models(
        repository, limits, lambda name, n: rows.labels(name).observe(n)
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
        del app
        watcher = asyncio.create_task(models.watch(poll_seconds))
        yield
        watcher.cancel()

    # Both protocols are specified elsewhere: FastAPI would describe what is
    # beside them, on pages that load scripts from other places.
    app = fastapi.FastAPI(title="dim_tf", openapi_url=None, lifespan=lifespan)
    app.router.routes += tensorflow_rest.routes(models)
    app.router.routes += open_inference.routes(models)
    app.include_router(demo.router(models))
    app.mount("/static", demo.static_files())
    _measure(app, registry)
    _speak_json(app)
    return app


class _Timed:
    """Observes how long a response takes; costs less than FastAPI's own kind.

    Args:
        app: what answers.
        seconds: with labels for the route and the status.
    """

    def __init__(self, app: ASGIApp, seconds: prometheus_client.Histogram):
        self._app = app
        self._seconds = seconds

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def observed(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            # Not the path, of which clients can make up any number.
            route = scope.get("route")
            path = route.path if route else "none"
            self._seconds.labels(path, status).observe(
                time.perf_counter() - started
            )


def _measure(
    app: fastapi.FastAPI, registry: prometheus_client.CollectorRegistry
) -> None:
    seconds = prometheus_client.Histogram(
        "dim_tf_request_seconds",
        "From the first byte to the answer.",
        ("route", "status"),
        buckets=_SECONDS,
        registry=registry,
    )

    app.add_middleware(_Timed, seconds=seconds)

    @app.get("/metrics")
    async def metrics():
        return fastapi.Response(
            prometheus_client.generate_latest(registry),
            media_type=prometheus_client.CONTENT_TYPE_LATEST,
        )


def _speak_json(app: fastapi.FastAPI) -> None:
    """Every error is an object with an `error`, as in both protocols."""

    @app.exception_handler(RequestError)
    async def bad_request(request: fastapi.Request, error: RequestError):
        del request
        return answer({"error": str(error)}, error.status)

    @app.exception_handler(starlette.exceptions.HTTPException)
    async def no_route(
        request: fastapi.Request, error: starlette.exceptions.HTTPException
    ):
        message = f"{request.method} {request.url.path}: {error.detail}"
        return answer({"error": message}, error.status_code)

    @app.exception_handler(Exception)
    async def bug(request: fastapi.Request, error: Exception):
        _LOG.error("%s failed", request.url.path, exc_info=error)
        return answer({"error": "internal error; see the server's log"}, 500)
