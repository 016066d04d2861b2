"""What can be attacked: models of this project, and anybody else's."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from collections.abc import Mapping

import keras
import numpy as np

from dim_tf import data
from dim_tf import metrics
from dim_tf import models
from dim_tf.models import foreign
from dim_tf.models import latent_search
from dim_tf.models import saving
from dim_tf.models.foreign import Reading


@dataclasses.dataclass(frozen=True)
class Target:
    """A model, before it is loaded.

    Attributes:
        name: for records and tables.
        weights_digest: of its weights, or of its files.
        load: makes the model, images in [0, 1] -> dict with `scores`.
        search_view: of the model, see `models.Entry`.
    """

    name: str
    weights_digest: str
    load: Callable[[], keras.Model]
    search_view: Mapping[str, int] = dataclasses.field(default_factory=dict)


def find(name_or_path: str, reading: Reading = foreign.PLAIN) -> Target:
    """The model of a name, a folder of this project, or any other path.

    Args:
        name_or_path: a key of `models.MODELS`, a folder with `card.json`, a
            Keras file, or the folder of a SavedModel.
        reading: of a model of others.

    Raises:
        ValueError, FileNotFoundError: as `models.find`.
    """
    # Who loads it may be elsewhere.
    path = pathlib.Path(name_or_path).resolve()
    if path.exists() and not (path / "card.json").is_file():
        load = functools.partial(foreign.load, path, reading)
        return Target(
            foreign.name_of(path), foreign.digest(path, reading), load
        )
    folder = models.find(name_or_path).resolve()
    card = saving.read_card(folder)
    load = functools.partial(models.load_outputs, folder)
    view = models.entry(card["model"]).search_view
    return Target(card["model"], card["weights_digest"], load, view)


def check(model: keras.Model, examples: data.Examples) -> float:
    """Looks whether a model and images fit together.

    Args:
        model: images -> dict with `scores`.
        examples: to try it on.

    Returns:
        Its accuracy on them.

    Raises:
        ValueError: the images are of another shape, the labels are no classes
            of the model, or scores are not finite, or probabilities.
    """
    shape, wanted = examples.images.shape[1:], model.input_shape[1:]
    if shape != wanted:
        raise ValueError(
            f"the model {model.name!r} takes images {wanted}, got {shape}"
        )
    scores = metrics.outputs(model, examples.images, "scores")
    classes = scores.shape[1]
    if examples.labels.min() < 0 or examples.labels.max() >= classes:
        raise ValueError(
            f"the model {model.name!r} has {classes} classes, got labels from "
            f"{examples.labels.min()} to {examples.labels.max()}"
        )
    sick = ~np.isfinite(scores).all(axis=1)
    if sick.any():
        raise ValueError(
            f"the model {model.name!r} gives scores that are not finite on "
            f"{sick.sum()} of {len(sick)} clean images, the first of them row "
            f"{examples.rows[sick][0]}"
        )
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        raise ValueError(
            f"the model {model.name!r} gives probabilities, whose gradients "
            "vanish where it is sure; expected logits. Save it without its "
            "softmax, or have their logarithms attacked with --probabilities"
        )
    return metrics.accuracy(model, examples)


def jit_compile(xla: str, model: keras.Model) -> bool:
    """Whether XLA is to compile the attacks on a model.

    Args:
        xla: `"on"`, `"off"`, or `"auto"`: on models without convolutions.
        model: what is attacked.
    """
    return xla == "on" or (xla == "auto" and _suits_xla(model))


def _suits_xla(model: keras.Model) -> bool:
    """Whether all that is known of a model is fast under XLA on a CPU."""
    slow = (
        keras.layers.Conv2D,
        keras.layers.Conv2DTranspose,
        keras.layers.DepthwiseConv2D,
        keras.layers.SeparableConv2D,
        latent_search.LatentSearch,
        # Of what is in a SavedModel nothing is known.
        keras.layers.TFSMLayer,
    )
    return not any(
        isinstance(layer, slow)
        or (isinstance(layer, keras.Model) and not _suits_xla(layer))
        for layer in model.layers
    )
