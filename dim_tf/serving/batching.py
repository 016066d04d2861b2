"""One model call for the requests that wait while the last one runs.

Nobody waits for a batch to fill: a request that finds the model idle goes
alone, and those that come meanwhile go together. What fails together is tried
one by one, so that nobody pays for the neighbors.
"""

import asyncio
import collections
import concurrent.futures
import dataclasses
import itertools
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from dim_tf.serving.errors import RequestError

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Waiting:
    """A request: its inputs, and the future of its outputs."""

    inputs: Arrays
    rows: int
    answer: asyncio.Future


class Batcher:
    """Gathers requests for a model; to be used from one event loop.

    Args:
        run: inputs by name -> outputs by name, arrays `(rows, ...)`.
        executor: thread that runs it.
        max_rows: of a call.
        max_waiting: requests that may wait; more are turned away.
        observe: is told the rows of every call.
    """

    def __init__(
        self,
        run: Callable[[Arrays], Arrays],
        executor: concurrent.futures.Executor,
        *,
        max_rows: int,
        max_waiting: int,
        observe: Callable[[int], None],
    ):
        self._run = run
        self._executor = executor
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self._observe = observe
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._worker: asyncio.Task | None = None

    async def predict(self, inputs: Arrays) -> Arrays:
        """The outputs of a request's inputs.

        Raises:
            RequestError: 429, too many requests wait already; 500, the model
                gave outputs that are no batch of as many rows.
        """
        if len(self._waiting) >= self._max_waiting:
            # Some have given up since.
            self._waiting = collections.deque(
                each for each in self._waiting if not each.answer.done()
            )
        if len(self._waiting) >= self._max_waiting:
            raise RequestError(429, "too many requests; try again later")
        rows = len(next(iter(inputs.values())))
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(inputs, rows, answer))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            while batch := self._gather():
                await self._answer(batch)
        finally:
            self._worker = None

    def _gather(self) -> list[_Waiting]:
        """What goes together next: in order, as much as fits."""
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting:
            request = self._waiting[0]
            if batch and rows + request.rows > self._max_rows:
                break
            self._waiting.popleft()
            # Who no longer listens need not be answered.
            if not request.answer.done():
                batch.append(request)
                rows += request.rows
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        counts = [request.rows for request in batch]
        loop = asyncio.get_running_loop()
        try:
            together = {
                name: np.concatenate([one.inputs[name] for one in batch])
                for name in batch[0].inputs
            }
            self._observe(sum(counts))
            outputs = await loop.run_in_executor(
                self._executor, self._run, together
            )
            answers = _split(outputs, counts)
        except Exception as error:  # whatever a model may raise or give
            if len(batch) > 1:
                # Which of them it is about is seen when each goes alone.
                for request in batch:
                    await self._answer([request])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        for request, found in zip(batch, answers, strict=True):
            if not request.answer.done():
                request.answer.set_result(found)


def _split(outputs: Arrays, counts: Sequence[int]) -> list[Arrays]:
    """The outputs of each of the requests that went together.

    Args:
        outputs: by name, of all of them.
        counts: rows of each.

    Raises:
        RequestError: 500, an output has other rows than the inputs had.
    """
    rows = sum(counts)
    for name, value in outputs.items():
        if value.shape[:1] != (rows,):
            raise RequestError(
                500,
                f"output {name!r}: expected a row for each of the {rows} of "
                f"the inputs, got shape {list(value.shape)}; export a model "
                "that gives one row for one",
            )
    return [
        {name: value[last - count : last] for name, value in outputs.items()}
        for count, last in zip(
            counts, itertools.accumulate(counts), strict=True
        )
    ]
