"""The service under load: latency, throughput, errors, memory."""

import asyncio
import contextlib
import dataclasses
import http.client
import pathlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import orjson
from uvicorn.loops.auto import auto_loop_factory

_START_SECONDS = 120.0
_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
_MEMORY = re.compile(rb"^process_resident_memory_bytes (\S+)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Load:
    """What clients that ask one request after the other got.

    Attributes:
        clients: at the same time.
        latencies: seconds `(requests,)` from asking to the whole answer.
        errors: answers other than 200, and broken connections.
        seconds: in all.
        megabytes: of the server's memory, at the end.
    """

    clients: int
    latencies: np.ndarray
    errors: int
    seconds: float
    megabytes: float

    @property
    def throughput(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds


@contextlib.contextmanager
def serving(folder: pathlib.Path, model: str) -> Iterator[int]:
    """The port of a service in a process of its own.

    Args:
        folder: with a folder for every model.
        model: name of the one to serve.

    Raises:
        ConnectionError: it did not start.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "dim_tf.serve", f"--port={port}"]
    command += [f"--model_base_path={folder}", f"--models={model}"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(process, port)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen, port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.1)
    raise ConnectionError(
        "the service did not start; `python -m dim_tf.serve` itself says why"
    )


def load(
    port: int,
    model: str,
    clients: int,
    seconds: float,
    signature: str = "serving_default",
) -> Load:
    """Asks for predictions of one image each, for a while.

    Args:
        port: of the service.
        model: its name.
        clients: each on a connection of its own.
        seconds: to ask for.
        signature: of the SavedModel.

    Raises:
        ConnectionRefusedError: nobody serves at the port.
    """
    image = np.random.default_rng(0).uniform(size=(1, 28, 28, 1)).round(4)
    body = orjson.dumps(
        {"instances": image.tolist(), "signature_name": signature}
    )
    head = (
        f"POST /v1/models/{model}:predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    started = time.monotonic()
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        latencies, errors = runner.run(
            _ask_all(port, head.encode() + body, clients, started + seconds)
        )
    return Load(
        clients=clients,
        latencies=np.array(latencies),
        errors=errors,
        seconds=time.monotonic() - started,
        megabytes=_megabytes(port),
    )


async def _ask_all(port, request, clients, end) -> tuple[list[float], int]:
    """As `_ask`, of all clients."""
    found = await asyncio.gather(
        *(_ask(port, request, end) for _ in range(clients))
    )
    return sum((each for each, _ in found), []), sum(each for _, each in found)


async def _ask(port, request, end) -> tuple[list[float], int]:
    """Latencies of the answers, and how many requests had none.

    A client that does no more than it must, as it shares the cores with the
    service.
    """
    latencies, errors = [], 0
    while time.monotonic() < end:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while time.monotonic() < end:
                asked = time.perf_counter()
                writer.write(request)
                if await _status(reader) == 200:
                    latencies.append(time.perf_counter() - asked)
                else:
                    errors += 1
        except (OSError, EOFError):
            errors += 1
        writer.close()
    return latencies, errors


async def _status(reader) -> int:
    """That of an answer, which is read to its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    await reader.readexactly(int(length[1]) if length else 0)
    return int(head.split(None, 2)[1])


def _megabytes(port: int) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    found = _MEMORY.search(connection.getresponse().read())
    connection.close()
    # The operating system may not tell.
    return float(found[1]) / 2**20 if found else float("nan")
