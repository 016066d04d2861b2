"""Our attacks beside foolbox's own: seconds, strength, share of the model.

Both attack the same images, those that the model classifies correctly, with
the same hyper-parameters, and from the same starting points where they need
some. foolbox gets the Keras model as its documentation says, eagerly.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import foolbox
import keras
import numpy as np
import tensorflow as tf

from dim_tf import attacks
from dim_tf import data
from dim_tf import metrics
from dim_tf import models
from dim_tf.attacks import suite
from dim_tf.attacks.constant_search import ConstantSearch
from dim_tf.attacks.salt_and_pepper import SparseSaltAndPepper
from dim_tf.benchmarking import rivals
from dim_tf.benchmarking import strength
from dim_tf.evaluation import counting
from dim_tf.evaluation import thresholds
from dim_tf.evaluation.protocol import Trial

_SEEDS = 5


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
        return foolbox.TensorFlowModel(
            models.classifier(self.model),
            bounds=(0, 1),
            # Of foolbox's own constants, of which there are none.
            device="/CPU:0",
        )

    def starts(self, search) -> tuple[np.ndarray, np.ndarray]:
        """Positions that an attack finds a starting point for, and these."""
        targets = self.examples.take(self.positions)
        points, _, success = search(
            self.classifier, targets.images, targets.labels, epsilons=None
        )
        good = success.numpy()
        return self.positions[good], points.numpy()[good]


def subject(model: keras.Model, examples: data.Examples) -> Subject:
    """A subject of the images that the model classifies correctly.

    Raises:
        ValueError: it misclassifies all of them.
    """
    predictions = metrics.predictions(model, examples.images)
    positions = np.flatnonzero(predictions == examples.labels)
    if not len(positions):
        raise ValueError(
            f"{model.name} misclassifies all of {len(examples)} images, so "
            "that there is nothing to attack; give it more, or others"
        )
    return Subject(model, examples, positions)


class _Match:
    """An attack of ours and foolbox's, on the same images and starts.

    Args:
        name: of an attack in the suite.
        subject: what is attacked.
        jit_compile: whether XLA compiles ours.
    """

    def __init__(self, name: str, subject: Subject, jit_compile: bool):
        self.spec = suite.PAPER[name]
        self.native = dataclasses.replace(
            rivals.native(name, len(subject.examples)), jit_compile=jit_compile
        )
        self.stock = rivals.stock(self.native)
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

    def warm_up(self) -> None:
        """A short call of foolbox's, on one image.

        Some of its attacks are compiled by numba, and TensorFlow prepares the
        operations that it meets for the first time.
        """
        brief = rivals.native(self.spec.name, rivals.LARGE_BATCH)
        self.call(rivals.stock(brief), self.subject.classifier, size=1)

    def call(self, attack, model, seed: int = 0, size: int | None = None):
        """An attack's answers, one for every epsilon.

        Args:
            attack: foolbox's or ours.
            model: what it attacks.
            seed: of the starting points.
            size: of the batch, the first images; all by default.
        """
        positions, keywords = self.inputs(seed)
        positions = positions[:size]
        keywords = {key: points[:size] for key, points in keywords.items()}
        targets = self.subject.examples.take(positions)
        return attack(
            model,
            tf.constant(targets.images),
            tf.constant(targets.labels),
            epsilons=list(self.spec.epsilons),
            **keywords,
        )[1]

    def judged(self, answers, seed: int = 0) -> tuple[float, float]:
        """Robust accuracy at the paper's threshold, and median distance.

        Of all images: a misclassified one has distance 0, one that was left
        out, for want of a starting point, stands.
        """
        norm, examples = self.spec.norm, self.subject.examples
        positions, _ = self.inputs(seed)
        if isinstance(self.native, ConstantSearch):
            # foolbox's way to say that it found nothing, which a model may
            # well misclassify.
            images = examples.images[positions]
            answers = [_unless_black(answer, images) for answer in answers]
        trial = Trial(self.subject.model, norm, examples.take(positions))
        for answer in answers:
            trial.consider(answer, push=True)
        distances = np.zeros(len(examples))
        distances[self.subject.positions] = np.inf
        distances[positions] = trial.distances
        robust = thresholds.beyond(distances, thresholds.PAPER[norm])
        return float(robust.mean()), float(np.median(distances))

    def spread(self) -> dict[str, list[tuple[float, float]]]:
        """What both come to with other seeds, of draws and of starts."""
        found: dict[str, list] = {"foolbox": [], "native": []}
        for seed in range(1, 1 + _SEEDS):
            keras.utils.set_random_seed(seed)  # which foolbox draws from
            reseeded = dataclasses.replace(self.native, seed=seed)
            for side, attack in zip(found, (self.stock, reseeded), strict=True):
                answers = self.call(attack, self.subject.classifier, seed)
                found[side].append(self.judged(answers, seed))
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
    sides = {
        "foolbox": lambda: match.call(match.stock, subject.classifier),
        "native": lambda: match.call(match.native, subject.classifier),
    }
    match.warm_up()
    started = time.perf_counter()
    sides["native"]()
    first = time.perf_counter() - started
    seconds, answers = _race(sides, seconds_limit)
    row = {
        "attack": name,
        "norm": match.spec.norm,
        "settings": repr(match.native),
        "batch_size": len(subject.examples),
        "num_attacked": match.num_attacked,
        "rounds": len(seconds["native"]),
        "native_compile_seconds": first - float(seconds["native"][0]),
        "ratio": float(np.median(seconds["foolbox"] / seconds["native"])),
    }
    for side in sides:
        row[f"{side}_seconds"] = float(np.median(seconds[side]))
        robust, median = match.judged(answers[side])
        row[f"{side}_median_distance"] = median
        row[f"{side}_robust_accuracy"] = robust
    if strength.weaker(row):
        # Luck, or more?
        for side, pairs in match.spread().items():
            row[f"{side}_spread"] = pairs
    counts = _count(functools.partial(match.call, match.native), subject)
    return {**row, **counts}


def _race(sides: dict[str, Callable], seconds_limit: float):
    """Seconds of two that are warm, and what they answered last."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    answers: dict[str, Any] = {}
    while not answers or sum(map(sum, seconds.values())) < seconds_limit:
        for side, call in sides.items():
            started = time.perf_counter()
            answers[side] = call()
            seconds[side].append(time.perf_counter() - started)
    return {side: np.array(each) for side, each in seconds.items()}, answers


def _count(call: Callable, subject: Subject) -> dict[str, int]:
    counter = counting.Counter()
    call(counter.wrap(models.classifier(subject.model)))
    forwards, backwards = counter.take()
    return {"forwards": forwards, "backwards": backwards}
