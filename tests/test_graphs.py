import functools
import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from tiny_nets import TinyNet
from tiny_nets import foolbox_model

from dim_tf import attacks
from dim_tf.attacks import graphs
from dim_tf.attacks.graphs import Graphs


def rows_of(count):
    """Image `n` is filled with `n` hundredths."""
    numbers = tf.range(count, dtype=tf.float32)[:, None] / 100
    return {
        "images": tf.tile(numbers, [1, 4]),
        "classes": tf.zeros(count, tf.int64),
        "seeds": tf.zeros((count, 2), tf.int32),
    }


def graphs_of(steps, jit_compile=False, bounds=(0, 1)):
    model = foolbox_model(lambda images: images[:, 0, :2, 0], bounds)
    return Graphs(steps, model, (2, 2, 1), False, jit_compile)


@pytest.mark.parametrize("count", range(1, 70))
def test_padding_repeats_the_last_to_one_of_few_lengths(count):
    indices = np.arange(count) + 10
    padded = graphs.padded(indices)
    np.testing.assert_array_equal(padded[:count], indices)
    assert (padded[count:] == indices[-1]).all()
    assert len(padded) in (6, 8, 10, 12, 16, 20, 24, 32, 48, 50, 64, 96)
    if count > 6:
        assert len(padded) - count <= len(padded) / 3


def test_take():
    rows = graphs.take(rows_of(5), [3, 3, 0])
    np.testing.assert_allclose(rows["images"][:, 0], [0.03, 0.03, 0.0])
    assert rows["seeds"].shape == (3, 2)


def test_a_step_sees_the_problem():
    seen = []

    def step(problem, rows):
        seen.append(problem)
        return {"twice": 2 * rows["extra"], "same": problem.images}

    compiled = graphs_of({"step": step}, bounds=(-1, 2))
    rows = {**rows_of(3), "extra": tf.constant([[1.0], [2.0], [3.0]])}
    outputs = compiled("step", rows)
    np.testing.assert_array_equal(outputs["twice"], [[2], [4], [6]])
    np.testing.assert_array_equal(outputs["same"], rows["images"])
    (problem,) = seen
    assert problem.shape == (2, 2, 1)
    assert problem.bounds == (-1.0, 2.0)
    assert problem.images.shape.as_list() == [None, 4]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_step_is_traced_once_for_all_numbers_of_rows(jit_compile):
    traces = []

    def step(problem, rows):
        traces.append(problem)
        return {"sum": tf.reduce_sum(problem.images, 1)}

    compiled = graphs_of({"step": step}, jit_compile)
    for count in (1, 5, 3, 9):
        outputs = compiled("step", rows_of(count))
        np.testing.assert_allclose(outputs["sum"], np.arange(count) / 25)
    assert len(traces) == 1


def start(problem, rows):
    return {
        "active": problem.images[:, 0] > 0,
        "done": tf.zeros_like(problem.classes),
        "result": problem.images,
        "needed": tf.cast(tf.round(100 * problem.images[:, 0]), tf.int64),
    }


def advance(problem, state, log=None):
    """Image `n` is done after `n` steps, three of them at a time."""
    if log is not None:
        tf.py_function(
            lambda images: log.append(len(images)), [problem.images], []
        )

    def step(active, done, result):
        done += tf.cast(active, tf.int64)
        result = tf.where(active[:, None], 1 - result, result)
        return active & (done < state["needed"]), done, result

    active, done, result = tf.while_loop(
        lambda active, done, result: tf.reduce_any(active),
        step,
        (state["active"], state["done"], state["result"]),
        maximum_iterations=3,
    )
    # What does not change may be left out.
    return {"active": active, "done": done, "result": result}


@pytest.mark.parametrize("jit_compile", [False, True])
def test_rows_that_finish_apart_equal_rows_alone(jit_compile):
    steps = {"start": start, "advance": advance}
    compiled = graphs_of(steps, jit_compile)
    rows = graphs.take(rows_of(20), [7, 0, 19, 3, 1, 12, 0, 5, 4, 11, 2, 6])
    final = graphs.run_until_done(compiled, rows)
    needed = np.round(100 * rows["images"].numpy()[:, 0])
    np.testing.assert_array_equal(final["done"], needed)
    np.testing.assert_array_equal(final["needed"], needed)
    assert not final["active"].any()
    for index in range(12):
        alone = graphs.run_until_done(compiled, graphs.take(rows, [index]))
        for name, value in alone.items():
            np.testing.assert_array_equal(final[name][index], value[0])


def test_rows_that_are_done_leave():
    log = []
    steps = {"start": start, "advance": functools.partial(advance, log=log)}
    graphs.run_until_done(graphs_of(steps), rows_of(20))
    # One row is done at the start, three more after every three steps.
    assert log == [20, 16, 16, 10, 7, 4, 1]
    log.clear()
    graphs.run_until_done(graphs_of(steps), rows_of(1))
    assert log == []


@pytest.mark.parametrize(
    "attack",
    [attacks.L2FastGradientAttack(), attacks.L2DeepFoolAttack()],
    ids=lambda attack: type(attack).__name__,
)
def test_a_model_that_was_attacked_can_go(attack):
    net = TinyNet()
    model = foolbox_model(net)
    attack(model, net.images, net.labels, epsilons=0.5)
    attacked = weakref.ref(model), weakref.ref(net)
    del model, net
    gc.collect()
    assert [each() for each in attacked] == [None, None]
