"""The models that are served, and how they are asked."""

import asyncio
import concurrent.futures
import dataclasses
import gc
import logging
from collections.abc import Callable
from collections.abc import Mapping

import numpy as np

from dim_tf.serving.batching import Batcher
from dim_tf.serving.errors import within
from dim_tf.serving.repository import Repository
from dim_tf.serving.versions import Signature

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a request may be.

    Attributes:
        body_bytes: of its body.
        rows: of a batch.
        waiting: requests that may wait for a model.
        seconds: for the body to arrive, and for the answer.
    """

    body_bytes: int
    rows: int
    waiting: int
    seconds: float


class Models:
    """A repository with a batcher for each signature that is served.

    Args:
        repository: of the versions.
        limits: of the requests.
        observe: is told the model's name and the rows of every call.
    """

    def __init__(
        self,
        repository: Repository,
        limits: Limits,
        observe: Callable[[str, int], None],
    ):
        self.repository = repository
        self.limits = limits
        self._observe = observe
        self._batchers: dict[Signature, Batcher] = {}
        # One for a model, which others need not wait for. TensorFlow spreads a
        # call over the cores by itself.
        self._executors: dict[str, concurrent.futures.ThreadPoolExecutor] = {}

    async def predict(
        self, signature: Signature, inputs: Mapping[str, np.ndarray]
    ) -> Mapping[str, np.ndarray]:
        """Outputs by name for checked inputs by name.

        Raises:
            RequestError: 429 or 504, too much is going on; 500, the model gave
                outputs that are no batch of as many rows.
        """
        if signature not in self._batchers:
            name = signature.model
            if name not in self._executors:
                self._executors[name] = concurrent.futures.ThreadPoolExecutor(
                    1, f"predict {name}"
                )
            self._batchers[signature] = Batcher(
                signature.predict,
                self._executors[name],
                max_rows=self.limits.rows,
                max_waiting=self.limits.waiting,
                observe=lambda rows: self._observe(name, rows),
            )
        async with within(self.limits.seconds):
            return await self._batchers[signature].predict(inputs)

    async def watch(self, seconds: float) -> None:
        """Looks for new versions for as long as the service runs."""
        while True:
            await asyncio.sleep(seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Looks for new versions once, in a thread of its own."""
        before = self._numbers()
        try:
            await asyncio.to_thread(self.repository.refresh)
        except OSError:
            _LOG.exception("cannot look for new versions")
        served = {
            signature
            for name in self.repository.names
            for signature in self.repository.get(name).signatures.values()
        }
        for signature in self._batchers.keys() - served:
            del self._batchers[signature]
        # Their threads end with the last of the requests that still wait.
        for name in self._executors.keys() - set(self.repository.names):
            del self._executors[name]
        if before - self._numbers():
            await asyncio.to_thread(_free)

    def _numbers(self) -> set[tuple[str, int]]:
        """Names and numbers of the versions that are served."""
        return {
            (name, self.repository.get(name).number)
            for name in self.repository.names
        }


def _free() -> None:
    """Finds what is gone among what was taken out of the search for garbage.

    A model that was attacked is in a circle with what was compiled for it.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
