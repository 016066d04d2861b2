"""Whatever a model does, every request is answered."""

import asyncio
import concurrent.futures
import contextlib
import threading

import numpy as np
import pytest

from dim_tf.serving.batching import Batcher
from dim_tf.serving.errors import RequestError

ROWS = (1, 3, 2)


@contextlib.contextmanager
def batching(run):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        yield Batcher(
            run, executor, max_rows=4, max_waiting=8, observe=lambda rows: None
        )


def ask(run, rows=ROWS):
    """What requests of so many rows get, the last of them after the others."""

    async def ask_all():
        with batching(run) as batcher:
            inputs = [{"x": np.full(count, count)} for count in rows]
            async with asyncio.timeout(20):
                return [
                    *await asyncio.gather(
                        *(batcher.predict(each) for each in inputs[:-1]),
                        return_exceptions=True,
                    ),
                    await batcher.predict(inputs[-1]),
                ]

    return asyncio.run(ask_all())


def test_each_gets_its_own_rows():
    found = ask(lambda inputs: {"y": 2 * inputs["x"]})
    for rows, outputs in zip(ROWS, found, strict=True):
        np.testing.assert_array_equal(outputs["y"], np.full(rows, 2 * rows))


@pytest.mark.parametrize(
    "output",
    [np.float32(1.0), np.array(1.0), np.zeros((5, 4)), np.zeros((8, 2))],
)
def test_outputs_that_are_no_batch_are_an_error_of_the_request(output):
    calls = []

    def run(inputs):
        calls.append(len(inputs["x"]))
        return {"y": inputs["x"] if calls[-1] == 2 else output}

    *failed, answered = ask(run)
    # The two that waited went together, and then one by one.
    assert calls == [4, 1, 3, 2]
    for rows, error in zip(ROWS, failed, strict=False):
        assert isinstance(error, RequestError) and error.status == 500
        assert (
            f"for each of the {rows} of the inputs, got shape "
            f"{list(output.shape)}"
        ) in str(error)
    np.testing.assert_array_equal(answered["y"], [2, 2])


def test_nobody_fails_for_what_a_neighbor_asks():
    def run(inputs):
        if (inputs["x"] == 3).any():
            raise ValueError("three is too much")
        return {"y": 2 * inputs["x"]}

    first, second, third = ask(run)
    np.testing.assert_array_equal(first["y"], [2])
    assert str(second) == "three is too much"
    np.testing.assert_array_equal(third["y"], [4, 4])


@pytest.mark.parametrize("outputs", [None, {"y": None}])
def test_what_is_no_array_at_all_leaves_the_next_request_alone(outputs):
    good = {"y": np.ones(2)}
    *failed, answered = ask(
        lambda inputs: good if len(inputs["x"]) == 2 else outputs
    )
    assert all(isinstance(error, AttributeError) for error in failed)
    np.testing.assert_array_equal(answered["y"], [1, 1])


@pytest.mark.parametrize(
    ("refused", "expected"),
    [(0, [[1, 2], [3, 5]]), (1, [[1, 2], [1], [2], [3, 5]])],
)
def test_who_no_longer_listens_keeps_nobody_waiting(refused, expected):
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def run(inputs):
        calls.append(inputs["x"].tolist())
        begun.set()
        assert go_on.wait(20)
        if refused in inputs["x"]:
            raise ValueError("not this one")
        return {"y": 2 * inputs["x"]}

    async def ask_all():
        with batching(run) as batcher:

            def ask(value):
                return batcher.predict({"x": np.array([value])})

            left = [asyncio.create_task(ask(1)), asyncio.create_task(ask(2))]
            await asyncio.to_thread(begun.wait, 20)
            stays = asyncio.create_task(ask(3))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ask(4), 0.05)
            left[0].cancel()  # whose call is running
            last = asyncio.create_task(ask(5))
            await asyncio.sleep(0)
            go_on.set()
            async with asyncio.timeout(20):
                return [await each for each in (left[1], stays, last)]

    answers = asyncio.run(ask_all())
    assert [outputs["y"].tolist() for outputs in answers] == [[4], [6], [10]]
    assert calls == expected


def test_who_no_longer_listens_turns_nobody_away():
    begun, go_on = threading.Event(), threading.Event()

    def run(inputs):
        begun.set()
        assert go_on.wait(20)
        return {"y": 2 * inputs["x"]}

    async def ask_all():
        with batching(run) as batcher:

            def ask():
                one = {"x": np.ones(1)}
                return asyncio.create_task(batcher.predict(one))

            try:
                first = ask()
                await asyncio.to_thread(begun.wait, 20)
                others = [ask() for _ in range(9)]
                await asyncio.wait(others, timeout=0.05)
                with pytest.raises(RequestError, match="too many requests"):
                    others.pop().result()
                for other in others:
                    other.cancel()
                await asyncio.wait(others)
                last = ask()
                await asyncio.sleep(0)
            finally:
                go_on.set()
            async with asyncio.timeout(20):
                return await first, await last

    for answer in asyncio.run(ask_all()):
        np.testing.assert_array_equal(answer["y"], [2])
