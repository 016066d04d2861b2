"""Our attacks beside foolbox's own: seconds, strength, share of the model.

Both attack the same images, those that the model classifies correctly, with
the same hyper-parameters, and from the same starting points where they need
some. foolbox gets the Keras model as its documentation says, eagerly.
"""

import dataclasses
import functools
import inspect
import json
import pathlib
import time
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import foolbox
import keras
import numpy as np
import rich.progress
import tensorflow as tf

from dim_tf import attacks
from dim_tf import data
from dim_tf import models
from dim_tf.attacks import suite
from dim_tf.attacks.constant_search import ConstantSearch
from dim_tf.attacks.flexible import Flexible
from dim_tf.attacks.salt_and_pepper import SparseSaltAndPepper
from dim_tf.benchmarking import pointwise
from dim_tf.benchmarking import strength
from dim_tf.benchmarking.prices import PassPrices
from dim_tf.evaluation import counting
from dim_tf.evaluation import protocol

# No abort, which foolbox decides for the batch and ours for a sample.
_SHORT_SEARCH = {
    "binary_search_steps": 6,
    "steps": 300,
    "abort_early": False,
}
# Where the comparison departs from the suite, for both sides alike: fewer
# steps of what is long, and the one schedule of DDN that foolbox still has.
SETTINGS: dict[str, dict[str, Any]] = {
    "l2_ddn": {"schedule": "cosine"},
    "l2_carlini_wagner": _SHORT_SEARCH,
    "l1_ead": _SHORT_SEARCH,
    "l2_brendel_bethge": {"steps": 100},
    "linf_brendel_bethge": {"steps": 100},
    "l1_brendel_bethge": {"steps": 100},
    "l0_brendel_bethge": {"steps": 100},
    "l2_boundary": {"steps": 300},
    "l2_ls_contrast": {"steps": 200},
    "l2_gaussian_blur": {"steps": 200},
    "l2_blended_uniform": {"steps": 200, "directions": 50},
}
# To be asked for by name, as foolbox has but a like one, and runs it on NumPy.
# Both run once, not ten times.
ON_NUMPY = ("l0_pointwise_x10",)
_SEEDS = 5


def comparable() -> tuple[str, ...]:
    """Names of the suite's attacks that foolbox can run on TensorFlow.

    Flexible attacks do the same in Linf as in L2.
    """
    return tuple(
        name
        for name, spec in suite.PAPER.items()
        if name not in ON_NUMPY
        and not (spec.norm == "linf" and isinstance(spec.attack, Flexible))
    )


def stock_attack(attack):
    """foolbox's attack of the same name and hyper-parameters."""
    if isinstance(attack, attacks.PointwiseAttack):
        return pointwise.PointwiseAttack()
    kind = getattr(foolbox.attacks, type(attack).__name__)
    known = inspect.signature(kind).parameters
    fields = {
        field.name: getattr(attack, field.name)
        for field in dataclasses.fields(attack)
    }
    return kind(**{k: value for k, value in fields.items() if k in known})


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model and the images to attack it with.

    Attributes:
        model: images -> dict with `scores`.
        examples: all images.
        positions: those that are classified correctly.
    """

    model: keras.Model
    examples: data.Examples
    positions: np.ndarray

    @functools.cached_property
    def classifier(self) -> foolbox.TensorFlowModel:
        return protocol.foolbox_model(models.classifier(self.model))

    def starts(self, search) -> tuple[np.ndarray, np.ndarray]:
        """Positions that an attack finds a starting point for, and these."""
        targets = self.examples.take(self.positions)
        points, _, success = search(
            self.classifier, targets.images, targets.labels, epsilons=None
        )
        good = success.numpy()
        return self.positions[good], points.numpy()[good]


def subject(model: keras.Model, examples: data.Examples) -> Subject:
    return Subject(model, examples, protocol.attacked(model, examples))


class _Match:
    """An attack of ours and foolbox's, on the same images and starts.

    Args:
        name: of an attack in the suite.
        subject: what is attacked.
        jit_compile: whether XLA compiles ours.
    """

    def __init__(self, name: str, subject: Subject, jit_compile: bool):
        self.spec = suite.PAPER[name]
        settings = SETTINGS.get(name, {})
        self.native = dataclasses.replace(
            self.spec.attack, jit_compile=jit_compile, **settings
        )
        self.stock = stock_attack(self.native)
        self.subject = subject
        # Before any call is timed, and once for all calls.
        self.inputs = functools.cache(self._inputs)
        self.num_attacked = len(self.inputs(0)[0])

    def _inputs(self, seed: int) -> tuple[np.ndarray, dict[str, tf.Tensor]]:
        """Positions to attack, and keywords of the call."""
        if not self.native.supports_starting_points:
            return self.subject.positions, {}
        positions, points = self.subject.starts(
            SparseSaltAndPepper(seed=seed)
            if isinstance(self.native, attacks.PointwiseAttack)
            else attacks.LinearSearchBlendedUniformNoiseAttack(
                steps=100, seed=seed
            )
        )
        return positions, {"starting_points": tf.constant(points)}

    def call(self, attack, model, seed: int = 0):
        """An attack's answers, one for every epsilon."""
        positions, keywords = self.inputs(seed)
        targets = self.subject.examples.take(positions)
        return attack(
            model,
            tf.constant(targets.images),
            tf.constant(targets.labels),
            epsilons=list(self.spec.epsilons),
            **keywords,
        )[1]

    def judged(self, answers, seed: int = 0) -> tuple[float, float]:
        """Robust accuracy at the paper's threshold, and median distance."""
        norm = self.spec.norm
        positions, _ = self.inputs(seed)
        if isinstance(self.native, ConstantSearch):
            # foolbox's way to say that it found nothing, which a model may
            # well misclassify.
            images = self.subject.examples.images[positions]
            answers = [_unless_black(answer, images) for answer in answers]
        outcome = protocol.verify(
            self.subject.model,
            norm,
            self.subject.examples,
            positions,
            answers,
        )
        robust = outcome.robust_accuracy(suite.THRESHOLDS[norm])
        return robust, outcome.median_distance

    def spread(self) -> dict[str, list[tuple[float, float]]]:
        """What both come to with other seeds, of draws and of starts."""
        found: dict[str, list] = {"foolbox": [], "native": []}
        for seed in range(1, 1 + _SEEDS):
            keras.utils.set_random_seed(seed)  # which foolbox draws from
            reseeded = dataclasses.replace(self.native, seed=seed)
            for rival, attack in zip(
                found, (self.stock, reseeded), strict=True
            ):
                answers = self.call(attack, self.subject.classifier, seed)
                found[rival].append(self.judged(answers, seed))
        return found


def _unless_black(answer: tf.Tensor, images: np.ndarray) -> np.ndarray:
    """An attack's answer `(batch, ...)`, with images in place of black ones."""
    found = answer.numpy()
    black = ~found.reshape(len(found), -1).any(1)
    return np.where(black[:, None, None, None], images, found)


def compare(
    name: str, subject: Subject, *, jit_compile: bool, seconds_limit: float
) -> dict[str, Any]:
    """One row of the benchmark.

    Args:
        name: of an attack in the suite.
        subject: what is attacked.
        jit_compile: whether XLA compiles ours.
        seconds_limit: rounds end once both took this long together.
    """
    match = _Match(name, subject, jit_compile)
    rivals = {
        "foolbox": lambda: match.call(match.stock, subject.classifier),
        "native": lambda: match.call(match.native, subject.classifier),
    }
    seconds, answers, compile_seconds = _race(rivals, seconds_limit)
    row = {
        "attack": name,
        "norm": match.spec.norm,
        "settings": repr(match.native),
        "batch_size": len(subject.examples),
        "num_attacked": match.num_attacked,
        "rounds": len(seconds["native"]),
        "native_compile_seconds": compile_seconds,
        "ratio": float(np.median(seconds["foolbox"] / seconds["native"])),
    }
    for rival in rivals:
        row[f"{rival}_seconds"] = float(np.median(seconds[rival]))
        robust, median = match.judged(answers[rival])
        row[f"{rival}_median_distance"] = median
        row[f"{rival}_robust_accuracy"] = robust
    if strength.weaker(row):
        # Luck, or more?
        for rival, pairs in match.spread().items():
            row[f"{rival}_spread"] = pairs
    counts = _count(functools.partial(match.call, match.native), subject)
    return {**row, **counts}


def _race(rivals: dict[str, Callable], seconds_limit: float):
    """Seconds by rival, their answers, and what compiling the last one took."""
    answers = {}
    for name, rival in rivals.items():
        started = time.perf_counter()
        answers[name] = rival()
        first = time.perf_counter() - started
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    while not seconds["native"] or (
        sum(map(sum, seconds.values())) < seconds_limit
    ):
        for name, rival in rivals.items():
            started = time.perf_counter()
            rival()
            seconds[name].append(time.perf_counter() - started)
    arrays = {name: np.array(values) for name, values in seconds.items()}
    return arrays, answers, first - float(arrays["native"][0])


def _count(call: Callable, subject: Subject) -> dict[str, int]:
    counter = counting.Counter()
    call(counter.wrap(models.classifier(subject.model)))
    forwards, backwards = counter.take()
    return {"forwards": forwards, "backwards": backwards}


def fill(
    output: pathlib.Path,
    names: Iterable[str],
    subject: Subject,
    weights_digest: str,
    *,
    jit_compile: bool,
    seconds_limit: float,
) -> list[dict[str, Any]]:
    """Makes the rows that the output file lacks, and returns all of it.

    Raises:
        ValueError: the file holds rows of other weights.
    """
    rows = json.loads(output.read_text()) if output.is_file() else []
    if any(row["weights_digest"] != weights_digest for row in rows):
        raise ValueError(
            f"{output} was made with other weights; delete it to start anew"
        )
    done = {(row["attack"], row["batch_size"]) for row in rows}
    batch_size = len(subject.examples)
    names = [name for name in names if (name, batch_size) not in done]
    prices = PassPrices(
        subject.classifier, subject.examples.images, jit_compile
    )
    for name in rich.progress.track(names, "comparing"):
        row = compare(
            name, subject, jit_compile=jit_compile, seconds_limit=seconds_limit
        )
        # At once, as machines are faster at one time than at another.
        forward, backward = prices.measure()
        floor = row["forwards"] * forward + row["backwards"] * backward
        row["model_share"] = floor / row["native_seconds"]
        rows.append({**row, "weights_digest": weights_digest})
        output.parent.mkdir(parents=True, exist_ok=True)
        scratch = output.with_suffix(".tmp")
        scratch.write_text(json.dumps(rows, indent=1) + "\n")
        scratch.replace(output)
    return rows
