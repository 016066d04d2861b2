r"""Serves SavedModels over HTTP, as TensorFlow Serving does.

python -m dim_tf.export --model=all
python -m dim_tf.serve --model_base_path=saved_models --port=8501

curl localhost:8501/v1/models/dim/metadata
"""

import contextlib
import dataclasses
import gc
import pathlib
import socket

import rich.console
import uvicorn

from dim_tf import config
from dim_tf import entry
from dim_tf import models
from dim_tf.serving import app
from dim_tf.serving.models import Limits
from dim_tf.serving.repository import Repository


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """What to serve, where, and what a request may be."""

    model_base_path: str = config.setting(
        str(models.SAVED_MODELS), "Folder with a folder for every model."
    )
    models: str = config.setting(
        "", "Comma-separated names of models; empty: all that are exported."
    )
    host: str = config.setting(
        "127.0.0.1", "Address to listen at; 0.0.0.0: from everywhere."
    )
    port: int = config.setting(
        8501, "TCP port to listen at.", minimum=1, maximum=65_535
    )
    max_batch_size: int = config.setting(
        256, "Images in a request, and in a model call, at most.", minimum=1
    )
    max_body_bytes: int = config.setting(
        8 << 20, "Bytes of a request's body at most.", minimum=1
    )
    max_waiting: int = config.setting(
        1_000, "Requests that may wait for a model.", minimum=1
    )
    request_seconds: float = config.setting(
        30.0, "Seconds for a body to arrive, and for its answer.", minimum=0.001
    )
    poll_seconds: float = config.setting(
        5.0, "Seconds between checks for new versions.", minimum=0.01
    )

    def __post_init__(self):
        config.validate(self)


def main(argv: list[str]) -> None:
    if argv:
        raise ValueError(f"serve takes flags only, got {argv[0]!r}")
    settings = config.from_flags(ServeConfig)
    names = config.listed(settings.models)
    repository = Repository(pathlib.Path(settings.model_base_path), names)
    repository.refresh()
    if not repository.names:
        raise ValueError(
            f"no SavedModel in {settings.model_base_path} can be served; make "
            "some with `python -m dim_tf.export --model=all`"
        )
    # What is there now stays. A search of it all for garbage, which the lists
    # of a few bodies set off, would take milliseconds.
    gc.collect()
    gc.freeze()
    limits = Limits(
        body_bytes=settings.max_body_bytes,
        rows=settings.max_batch_size,
        waiting=settings.max_waiting,
        seconds=settings.request_seconds,
    )
    made = app.make(repository, limits, settings.poll_seconds)
    server = uvicorn.Server(uvicorn.Config(made, log_level="warning"))
    with _listening(settings.host, settings.port) as listener:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        rich.console.Console(stderr=True).print(
            f"serving {', '.join(repository.names)} at "
            f"http://{host}:{settings.port}",
            markup=False,
        )
        with contextlib.suppress(KeyboardInterrupt):  # which is how it ends
            server.run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    """A socket that clients can connect to from now on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2_048)
    except OSError as error:
        raise ValueError(
            f"cannot listen at --host={host} --port={port}: {error}; is "
            "another service there?"
        ) from error


if __name__ == "__main__":
    config.define_flags(ServeConfig)
    entry.run(main)
