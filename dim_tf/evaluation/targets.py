"""What can be attacked: models of this project, and anybody else's."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from dim_tf import config
from dim_tf import data
from dim_tf import metrics
from dim_tf import models
from dim_tf.models import foreign
from dim_tf.models import latent_search
from dim_tf.models import saving
from dim_tf.models.foreign import Reading
from dim_tf.scores import decided

# By which probabilities may not add up to 1: those of 16 bits are coarse.
_SUM_TOLERANCE = 1e-2
# Images that a model is asked about twice, by themselves the second time.
_ASKED_AGAIN = 10


@dataclasses.dataclass(frozen=True)
class Target:
    """A model, before it is loaded.

    Attributes:
        name: for records and tables.
        weights_digest: of its weights, or of its files.
        load: makes the model, images in [0, 1] -> dict with `scores`.
        search_view: of the model, see `models.Entry`.
        dataset: that it was trained on; empty: a model of others.
        settings: see `config.beside_weights`.
    """

    name: str
    weights_digest: str
    load: Callable[[], keras.Model]
    search_view: Mapping[str, int] = dataclasses.field(default_factory=dict)
    dataset: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def find(name_or_path: str, reading: Reading = foreign.PLAIN) -> Target:
    """The model of a name, a folder of this project, or any other path.

    Args:
        name_or_path: a key of `models.MODELS`, a folder with `card.json`, a
            Keras file, or the folder of a SavedModel; `name=path` gives a
            model of others that name in records and tables.
        reading: of a model of others.

    Raises:
        ValueError, FileNotFoundError: as `models.find`; or a model of others
            has the name of one of this project, or no signatures.
    """
    given = pathlib.Path(name_or_path)
    name, _, after = name_or_path.partition("=")
    renamed = bool(after) and not given.exists()
    # Who loads it may be elsewhere.
    path = (pathlib.Path(after.strip()) if renamed else given).resolve()
    named = name_or_path in models.MODELS
    if not path.exists() and (renamed or (path.suffix and not named)):
        raise FileNotFoundError(f"there is no {path}, of {name_or_path!r}")
    if not named and path.exists() and not (path / "card.json").is_file():
        name = name.strip() if renamed else foreign.name_of(path)
        if name in (*models.MODELS, "", "..") or "/" in name:
            raise ValueError(
                f"{path} has no card.json, and {name!r} is the name of a model "
                "of this project, or none of a folder; give it another by "
                "name=path, or its records would be taken for that model's"
            )
        if path.is_file() and reading.signature != foreign.PLAIN.signature:
            raise ValueError(
                f"--signature={reading.signature} is for SavedModels, and "
                f"{path} is a file; leave it out, or attack the file in a "
                "command of its own"
            )
        load = functools.partial(foreign.load, path, reading)
        return Target(name, foreign.digest(path, reading), load)
    if renamed:
        raise ValueError(
            f"{path} is a model of this project, which has its name from its "
            f"card; leave out {name}="
        )
    folder = models.find(name_or_path).resolve()
    card = saving.read_card(folder)
    load = functools.partial(models.load_outputs, folder)
    entry = models.entry(card["model"])
    return Target(
        card["model"],
        card["weights_digest"],
        load,
        entry.search_view,
        card["settings"]["dataset"],
        config.beside_weights(entry.sizes, card["settings"]["sizes"]),
    )


def find_all(names: str, reading: Reading = foreign.PLAIN) -> list[Target]:
    """The models of a comma-separated list.

    Args:
        names: or paths, each as of `find`.
        reading: of all models of others.

    Raises:
        ValueError: there are none, or several of one name, or a reading
            without a model of others.
        FileNotFoundError: as `find`.
    """
    found = [find(name, reading) for name in config.listed(names)]
    if not found:
        raise ValueError(f"--models must name at least one, got {names!r}")
    if len({target.name for target in found}) < len(found):
        raise ValueError(
            f"--models={names} has several models of one name "
            f"({', '.join(target.name for target in found)}); their records "
            "would mix. Name them apart: one=path,other=path"
        )
    if reading != foreign.PLAIN and all(target.dataset for target in found):
        raise ValueError(
            "--bounds, --signature, --scores and --probabilities are for "
            f"models of others, and --models={names} are all of this project"
        )
    return found


def check_dataset(found: list[Target], dataset: str) -> None:
    """Looks whether models were trained on a data set, as far as is known.

    Raises:
        ValueError: one was trained on another.
    """
    for target in found:
        if target.dataset not in ("", dataset):
            raise ValueError(
                f"{target.name} was trained on {target.dataset}, not on "
                f"{dataset}; give --dataset={target.dataset}, or images of "
                "your own by --images"
            )


def check(model: keras.Model, examples: data.Examples) -> float:
    """Looks whether a model and images fit together.

    Args:
        model: images -> dict with `scores`.
        examples: to try it on.

    Returns:
        Its accuracy on them.

    Raises:
        ValueError: the images are of another shape, the labels are no classes
            of the model, or scores are not finite, or random, or depend on
            the other images, or are probabilities, or not the logarithms of
            any.
    """
    shape, wanted = examples.images.shape[1:], model.input_shape[1:]
    if shape != wanted:
        raise ValueError(
            f"the model {model.name!r} takes images {wanted}, got {shape}"
        )
    scores = metrics.outputs(model, examples.images, "scores")
    classes = scores.shape[1]
    if classes < 2:
        raise ValueError(
            f"the model {model.name!r} gives one score; expected one for each "
            "of two classes or more: put a zero before a logit"
        )
    if examples.labels.min() < 0 or examples.labels.max() >= classes:
        raise ValueError(
            f"the model {model.name!r} has {classes} classes, got labels from "
            f"{examples.labels.min()} to {examples.labels.max()}"
        )
    _check_probabilities(model, examples)
    _check_finite(model.name, scores, examples.rows)
    # Without the others, which must not matter.
    few = slice(min(_ASKED_AGAIN, -(-len(scores) // 2)))
    again = metrics.outputs(model, examples.images[few], "scores")
    _check_repeatable(model.name, scores[few], again)
    sums = scores.sum(axis=1)
    if (scores >= 0).all() and (np.abs(sums - 1) < _SUM_TOLERANCE).all():
        raise ValueError(
            f"the model {model.name!r} gives probabilities, whose gradients "
            "vanish where it is sure; expected logits. Save it without its "
            "softmax, or have their logarithms attacked with --probabilities"
        )
    return float(np.mean(scores.argmax(axis=1) == examples.labels))


def _check_probabilities(model, examples):
    """Looks whether what logarithms were taken of are probabilities."""
    if "probabilities" not in model.output:
        return
    given = metrics.outputs(model, examples.images, "probabilities")
    sums = given.sum(axis=1)
    if (given < 0).any() or (np.abs(sums - 1) > _SUM_TOLERANCE).any():
        raise ValueError(
            f"the model {model.name!r} gives no probabilities, which are from "
            f"0 to 1 and add up to 1, but values from {np.nanmin(given):g} to "
            f"{np.nanmax(given):g} that add up to {np.nanmin(sums):g} to "
            f"{np.nanmax(sums):g}; leave out --probabilities"
        )


def _check_finite(name, scores, rows):
    sick = rows[~decided(scores)]
    if not len(sick):
        return
    some = ", ".join(f"row {row}" for row in sick[:10])
    more = ", ..." if len(sick) > 10 else ""
    raise ValueError(
        f"the model {name!r} gives scores that are not finite on {len(sick)} "
        f"of {len(rows)} clean images ({some}{more}); leave these images out, "
        "or repair the model"
    )


def _check_repeatable(name, scores, again):
    # Accelerators add up in any order, so that the last bits differ; what is
    # drawn at random moves scores by far more. Those of the best two classes
    # say how large scores are, as one that is masked out may be any number.
    best = np.sort(scores, axis=1)[:, -2:]
    limit = 1e-3 * np.abs(best[np.isfinite(best)]).max()
    # That of a class that cannot be is minus infinity again, or it moved.
    with np.errstate(invalid="ignore"):
        apart = np.where(scores == again, 0.0, np.abs(scores - again))
    sizes = np.where(np.isfinite(scores), np.abs(scores), 0.0)
    # Not finite is not the same either.
    moved = ~(apart <= limit + 1e-6 * sizes).all(axis=1)
    if moved.any():
        raise ValueError(
            f"the model {name!r} gives other scores when it is asked again, "
            f"about fewer images ({moved.sum()} of {len(moved)} clean images, "
            f"up to {apart.max():g} apart): records of it would be luck; "
            "attack it without its randomness, or average it over draws, and "
            "with the batch normalization of inference, not of training"
        )


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
