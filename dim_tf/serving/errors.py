"""What a client is told when a request cannot be answered."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class RequestError(Exception):
    """Why there is no answer, with the HTTP status that says whose fault."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


@contextlib.asynccontextmanager
async def within(
    seconds: float, status: int = 504, what: str = "answer"
) -> AsyncIterator[None]:
    """A time limit.

    Raises:
        RequestError: what is waited for takes longer.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise RequestError(status, f"no {what} within {seconds:g} s") from error
