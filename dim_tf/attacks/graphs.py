"""Compiles an attack for a model and drives its rows until all are done.

And what such a graph is made of: steps, choices between rows, halving.

A row is a sample with its class, its seed and what else belongs to it, as a
dict of tensors `(rows, ...)`. Rows never look at each other, so that finished
ones can leave and any number can travel together.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf.attacks.problem import Problem
from dim_tf.caching import kept_with_model

Rows = dict[str, Any]
# Fewer rows than this cost a model about as much as this many.
CHEAP_ROWS = 6


def compiled(function: Callable, rows: Rows, jit_compile: bool) -> Callable:
    """A graph of `function(rows)` that takes any number of rows.

    Args:
        function: dict of tensors -> nest of tensors.
        rows: an example of its argument.
        jit_compile: whether XLA compiles it, once for every number of rows.
    """
    spec = {
        name: tf.TensorSpec([None, *value.shape[1:]], value.dtype)
        for name, value in rows.items()
    }
    graph = tf.function(function, jit_compile=jit_compile, autograph=False)
    return graph.get_concrete_function(spec)


class Graphs:
    """The compiled steps of one attack on one model.

    Args:
        steps: function by name, each `(problem, rows) -> dict of tensors`.
        model: foolbox model, images -> scores.
        shape: of an image.
        targeted: whether the rows' classes are to be reached.
        jit_compile: whether XLA compiles the steps.
    """

    def __init__(self, steps, model, shape, targeted, jit_compile):
        self.steps = steps
        self.model = model
        self.shape = shape
        self.bounds = (float(model.bounds[0]), float(model.bounds[1]))
        self.targeted = targeted
        self.jit_compile = jit_compile
        self._compiled: dict[tuple, Callable] = {}

    def __call__(self, step: str, rows: Rows) -> Rows:
        """Takes a step with every row."""
        key = (step, *sorted(rows))
        if key not in self._compiled:
            self._compiled[key] = compiled(
                functools.partial(self._trace, step), rows, self.jit_compile
            )
        count = len(rows["images"])
        if not self.jit_compile:
            return self._compiled[key](rows)
        # XLA compiles for one number of rows: keep to few.
        outputs = self._compiled[key](take(rows, padded(np.arange(count))))
        return {name: value[:count] for name, value in outputs.items()}

    def _trace(self, step, rows):
        problem = Problem(
            images=rows["images"],
            classes=rows["classes"],
            seeds=rows["seeds"],
            targeted=self.targeted,
            model=self.model,
            shape=self.shape,
            bounds=self.bounds,
            margins=rows.get("margins"),
        )
        return self.steps[step](problem, rows)


@kept_with_model
def of_attack(model, attack, bounds, shape, targeted) -> Graphs:
    """The compiled steps of an attack, shared by equal attacks."""
    del bounds  # of the model, which can change in place
    steps = attack.steps_by_name()
    return Graphs(steps, model, shape, targeted, attack.jit_compile)


def padded(indices: np.ndarray) -> np.ndarray:
    """Indices with the last one repeated, one of few lengths in all.

    Lengths are powers of two and half-way between, and the round numbers that
    people choose: of more than a few rows, at most a third is wasted.
    """
    count = max(len(indices), CHEAP_ROWS)
    power = 1 << (count - 1).bit_length()
    decade = 10 ** (len(str(count - 1)) - 1)
    lengths = (power * 3 // 4, power, *(decade * n for n in (1, 2, 5, 10)))
    length = min(length for length in lengths if length >= count)
    return np.concatenate(
        [indices, np.repeat(indices[-1:], length - len(indices))]
    )


def take(rows: Rows, indices) -> Rows:
    """Some of the rows."""
    return {name: tf.gather(value, indices) for name, value in rows.items()}


def choose(chosen, new: Rows, old: Rows) -> Rows:
    """New rows where they are chosen, bool `(rows,)`, and old ones elsewhere.

    Of the tensors that the new ones have.
    """
    return {
        name: tf.where(
            tf.reshape(chosen, (-1, *[1] * (value.shape.rank - 1))),
            value,
            old[name],
        )
        for name, value in new.items()
    }


def done(problem: Problem, result) -> Rows:
    """The state of an attack that is over with the start."""
    return {"active": tf.zeros((problem.batch,), tf.bool), "result": result}


def least_enough(enough: Callable, most, halvings: int):
    """The least of values from 0 on that is enough, as far as halving tells.

    Args:
        enough: values float32 `(batch, ..., 1)` -> bool of that shape, true
            from some value on.
        most: float32 `(batch, ..., 1)`, which is taken to be enough.
        halvings: of what is left between too little and enough.

    Returns:
        float32 `(batch, ..., 1)`.
    """

    def halve(low, high):
        middle = (low + high) / 2.0
        good = enough(middle)
        return tf.where(good, low, middle), tf.where(good, middle, high)

    return tf.while_loop(
        lambda *_: True,
        halve,
        (tf.zeros_like(most), most),
        maximum_iterations=halvings,
    )[1]


def several_steps(
    step: Callable, problem: Problem, state: Rows, changing, count: int
) -> Rows:
    """Takes steps within a graph until no row is active, or a number of them.

    Args:
        step: (problem, state) -> what of it has changed, the tensors named.
        problem: `Problem`.
        state: dict of tensors, with a bool `active` `(rows,)`.
        changing: names of tensors.
        count: steps at most.

    Returns:
        The tensors named.
    """

    def go_on(changed):
        moved = step(problem, {**state, **changed})
        return [{name: moved[name] for name in changing}]

    return tf.while_loop(
        lambda changed: tf.reduce_any(changed["active"]),
        go_on,
        [{name: state[name] for name in changing}],
        maximum_iterations=count,
    )[0]


def run_until_done(graphs: Graphs, rows: Rows) -> Rows:
    """Starts every row and advances those that are active until none is.

    The step `start` takes the rows and gives their state, a dict with a bool
    `active` `(rows,)`; the step `advance` takes rows and state, and gives what
    of the state changed by some more work. Rows that are done leave the batch
    when it is worth it, and must not change until then.

    Returns:
        The final state.
    """
    state = graphs("start", rows)
    final = {name: value.numpy() for name, value in state.items()}
    index = np.arange(len(rows["images"]))
    while len(index):
        active = state["active"].numpy()
        # Leaving costs a copy of the state; a few idle rows cost less.
        if active.sum() <= 0.8 * len(index):
            for name, value in state.items():
                final[name][index] = value.numpy()
            stays = np.flatnonzero(active)
            index = index[stays]
            if not len(index):
                break
            rows, state = take(rows, stays), take(state, stays)
        state = {**state, **graphs("advance", {**rows, **state})}
    return final
