"""Measures how robust a model is, in one call from Python.

    from dim_tf import robustness

    found = robustness.measure(model, images, labels)
    print(found)

It is what `python -m dim_tf.evaluate` and `python -m dim_tf.report` do, of a
model and images that are in memory.
"""

import contextlib
import operator
import pathlib
import tempfile
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pyarrow.compute as pc
import rich.console
import tensorflow as tf

from dim_tf import data
from dim_tf import digests
from dim_tf.attacks.adaptor import Native
from dim_tf.attacks.selection import own
from dim_tf.attacks.selection import select
from dim_tf.attacks.spec import AttackSpec
from dim_tf.evaluation import executors
from dim_tf.evaluation import planning
from dim_tf.evaluation import progress
from dim_tf.evaluation import targets
from dim_tf.evaluation.campaign import Campaign
from dim_tf.evaluation.results import read
from dim_tf.evaluation.thresholds import merged
from dim_tf.models import foreign
from dim_tf.models.wrapping import Reading
from dim_tf.reporting.robustness import Robustness

# The preset, in records, of attacks that are in none.
_OWN = "own"


def measure(
    model: Callable,
    images: Any,
    labels: Any,
    *,
    suite: str | Mapping[str, Native] = "quick",
    only: str | Collection[str] = (),
    thresholds: Mapping[str, float] | None = None,
    num_examples: int | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    scores: str = "",
    probabilities: bool = False,
    probes: bool = True,
    refine: bool = False,
    seed: int = 0,
    xla: str = "auto",
    shard_size: int = 100,
    results: str | pathlib.Path | None = None,
    name: str = "model",
    verbose: bool = True,
) -> Robustness:
    """Attacks a model and says what is left of it.

    Args:
        model: a Keras model, or any function of TensorFlow: float32 images of
            the shape of those below, within `bounds` -> logits `(batch,
            classes)`. It is called as for inference, and left as it is, but
            built, if it was never called.
        images: uint8, or floats from 0 to 1, whatever the bounds: `(n, height,
            width, channels)` or `(n, height, width)`.
        labels: integers `(n,)`.
        suite: preset of attacks, a key of `attacks.suite.PRESETS`, or attacks
            of `dim_tf.attacks` by names of your own.
        only: names of attacks of a preset; none: all that suit the model.
        thresholds: distances by norm that accuracies are to be at, and that
            attacks within an epsilon are tried at, long ones at nothing else;
            of pixels from 0 to 1, such as `{"linf": 8 / 255}`; of norms that
            are not named: the paper's, for MNIST.
        num_examples: images to attack, evenly of all classes; None: all.
        bounds: what the model takes for black and for white.
        scores: of a model with several outputs, the name of that with the
            logits; empty: `"scores"`.
        probabilities: whether the model gives these, whose logarithms are
            attacked then.
        probes: whether gradient descent is also run with twice the steps, from
            another start and at the threshold alone, for the signs.
        refine: whether every adversarial is also tried with its pixels as
            close to the image as a model that binarizes cannot tell.
        seed: of everything random.
        xla: `"on"`, `"off"`, or `"auto"`: on models that are known to suit it.
        shard_size: images attacked together.
        results: folder where records are kept, for a call that goes on and for
            `python -m dim_tf.report`. They know a model by its weights and
            the settings of its layers, and not by code of its own. None: they
            are not kept.
        name: of the model, in records and tables.
        verbose: whether to say what is found, and how far it is, the latter on
            terminals and, with ipywidgets, in notebooks.

    Raises:
        ValueError: a setting out of its range, images or labels that are none,
            a model that cannot be attacked, or not by the attacks named, or
            records of another model or of other images in the folder; says
            what to do.
    """
    pixels, classes = foreign.checked(
        np.asarray(images), np.asarray(labels), "memory"
    )
    order = planning.evenly(classes, num_examples)
    reading = Reading(bounds, probabilities=probabilities, scores=scores)
    target = targets.of_model(model, np.shape(images)[1:], reading, name)
    if results is not None and not target.load().weights:
        raise ValueError(
            f"records in {results} would know the model by its weights, and it "
            "shows none; give a Keras model, or leave out results"
        )
    if isinstance(suite, str):
        preset, specs, named = suite, select(suite, only), bool(only)
    elif only:
        raise ValueError(f"only={only!r} is for presets; leave it out")
    else:
        preset, specs, named = _OWN, own(suite), True
    campaign = Campaign(
        preset=preset,
        attacks=list(_suited(specs, target.load(), named)),
        num_examples=len(order),
        dataset=digests.of_arrays([pixels, classes]),
        limits=merged(thresholds or {}),
        seed=operator.index(seed),
        probes=probes,
        refined=refine,
        shard_size=shard_size,
    )
    examples = data.Examples(pixels, classes, np.arange(len(classes)))
    console = rich.console.Console(quiet=not verbose)
    with _kept(results) as folder, _tensor_float_32_as_it_was():
        jobs = campaign.jobs([target], folder)
        done = executors.in_process(jobs, examples.take(order), xla)
        failures = progress.follow(jobs, done, folder, len(order), console)
        if failures:
            raise ValueError(failures[name])
        records = read(folder / name)
    samples = np.sort(order)
    wanted = [cell.spec.name for cell in campaign.cells(target)]
    records = records.filter(
        pc.field("attack").isin(wanted) & pc.field("sample").isin(samples)
    )
    return Robustness(records, campaign.limits, pixels[samples], samples)


def _suited(
    specs: Iterable[AttackSpec], model: keras.Model, named: bool
) -> Iterator[AttackSpec]:
    """Attacks that suit a model; raises ValueError of others, if named."""
    for spec in specs:
        try:
            spec.for_model(model)
        except ValueError:
            if named:
                raise
        else:
            yield spec


@contextlib.contextmanager
def _tensor_float_32_as_it_was() -> Iterator[None]:
    """Attacks do without it; what comes after them need not."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


@contextlib.contextmanager
def _kept(folder: str | pathlib.Path | None) -> Iterator[pathlib.Path]:
    """A folder, or one that is gone afterwards."""
    if folder is not None:
        yield pathlib.Path(folder).resolve()
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield pathlib.Path(scratch)
