"""Model folders: weights, card and SavedModel, never half-written.

saved_models/<model>/model.keras    architecture and weights (not for bi_*)
saved_models/<model>/card.json      what it is and how it was made
saved_models/<model>/<version>/     SavedModel for TensorFlow Serving
"""

import json
import pathlib
import zipfile
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.protobuf import saved_model_pb2

from dim_tf import data
from dim_tf import digests
from dim_tf import staging

# Largest difference between a model's outputs and those of what is exported,
# relative to the largest value of that output, or absolute where that is below
# 1.
PARITY_TOLERANCE = 1e-5

# What an exported model takes.
IMAGES = tf.TensorSpec((None, *data.IMAGE_SHAPE), tf.float32, name="images")

_CARD = "card.json"
# What Keras, zipfile and HDF5 raise on a file that is not what it should be.
DAMAGE = (
    *(ValueError, TypeError, OSError, KeyError, RuntimeError),
    zipfile.BadZipFile,
)
_WEIGHTS = "model.keras"


def digest(model: keras.Model) -> str:
    """SHA-256 of a model's weights."""
    return digests.of_arrays(map(keras.ops.convert_to_numpy, model.weights))


def write(
    folder: pathlib.Path, card: Mapping[str, Any], model: keras.Model | None
) -> None:
    """Writes the weights and the card of a model.

    Both are complete on disk under temporary names before either takes its
    place, so that a full disk leaves what was there before. A kill between the
    two renames leaves weights that `read_weights` refuses, by their digest.

    Args:
        folder: made where missing.
        card: JSON-able; must hold `model` and `weights_digest`.
        model: what to save, or None for a model that uses its parent's weights.
    """
    with staging.staged(folder / _CARD) as new_card:
        new_card.write_text(json.dumps(card, indent=2) + "\n")
        if model is not None:
            with staging.staged(folder / _WEIGHTS) as new_weights:
                model.save(new_weights)


def read_card(folder: pathlib.Path) -> dict[str, Any]:
    """Reads `card.json`.

    Raises:
        FileNotFoundError: no card there.
        ValueError: not a card.
    """
    path = folder / _CARD
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is no model folder: it has no {_CARD}"
        )
    try:
        card = json.loads(path.read_text())
        card["model"], card["weights_digest"]
        card["settings"]["sizes"], card["settings"]["dataset"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); train the model again or restore it "
            "with git"
        ) from error
    return card


def read_weights(folder: pathlib.Path) -> keras.Model:
    """Loads `model.keras` and checks it against its card.

    Raises:
        FileNotFoundError: no weights or no card there.
        ValueError: a damaged file, or weights that are not the card's.
    """
    path = folder / _WEIGHTS
    read_card(folder)
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no weights: no {_WEIGHTS}")
    try:
        model = keras.models.load_model(path, compile=False)
    except DAMAGE as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} is damaged ({reason}); train the model again or restore "
            "it with git"
        ) from error
    check_digest(model, folder)
    return model


def check_digest(model: keras.Model, folder: pathlib.Path) -> None:
    """Raises ValueError unless a model has the weights of a folder's card."""
    if digest(model) != read_card(folder)["weights_digest"]:
        raise ValueError(
            f"the weights are not those that {folder / _CARD} describes; train "
            "the model again or restore its folder with git"
        )


def export(
    model: keras.Model, card: Mapping[str, Any], folder: pathlib.Path
) -> pathlib.Path:
    """Writes a SavedModel into the next version folder, checked for parity.

    The signature `serving_default` takes `images` and returns every output of
    the model and `label`, the int64 argmax of `scores`; `scores` returns these
    two alone, less than a hundredth of the answer of DIM. If the newest version
    has this very card already, and both signatures, it is returned as it is.

    Args:
        model: images -> dict of outputs.
        card: the model's card; a copy goes into `assets.extra/`.
        folder: the model's folder.

    Returns:
        The version folder.

    Raises:
        ArithmeticError: the SavedModel's outputs differ from the model's.
    """
    versions = sorted(int(path.name) for path in _version_folders(folder))
    if versions:
        newest = folder / str(versions[-1])
        if _is_of(newest, card):
            return newest
    target = folder / str(versions[-1] + 1 if versions else 1)
    with staging.staged(target) as version:
        _write_saved_model(model, version)
        (version / "assets.extra").mkdir()
        (version / "assets.extra" / _CARD).write_text(
            json.dumps(card, indent=2) + "\n"
        )
        signature = tf.saved_model.load(str(version)).signatures
        check_parity(model, signature["serving_default"], "SavedModel")
    return target


def _version_folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return [path for path in folder.glob("[0-9]*") if path.name.isdigit()]


def _is_of(version: pathlib.Path, card: Mapping[str, Any]) -> bool:
    """Whether a SavedModel has a card and both signatures, and is no wreck."""
    try:
        made_from = (version / "assets.extra" / _CARD).read_text()
        wanted = {"serving_default", "scores"}
        return json.loads(made_from) == card and _signatures(version) >= wanted
    except (OSError, ValueError, message.DecodeError):
        return False


def _signatures(version: pathlib.Path) -> set[str]:
    """Names of a SavedModel's signatures, without loading it."""
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((version / "saved_model.pb").read_bytes())
    return {name for graph in model.meta_graphs for name in graph.signature_def}


def serving(model: keras.Model) -> Callable:
    """What an exported model computes: images -> outputs and `label`."""

    def serve(images):
        outputs = model(images, training=False)
        return {**outputs, "label": tf.argmax(outputs["scores"], axis=-1)}

    return serve


def _scores(model: keras.Model) -> Callable:
    """`serving` without the outputs that are only pictures."""

    def scores(images):
        outputs = serving(model)(images)
        return {name: outputs[name] for name in ("scores", "label")}

    return scores


def _write_saved_model(model: keras.Model, folder: pathlib.Path) -> None:
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, function in (("serve", serving), ("scores", _scores)):
        archive.add_endpoint(name, function(model), [IMAGES])
    archive.write_out(str(folder), verbose=False)


def check_parity(model: keras.Model, exported: Callable, kind: str) -> None:
    """Raises ArithmeticError where an exported model answers otherwise.

    Args:
        model: images -> dict of outputs.
        exported: the same, by keyword `images`.
        kind: of file, for the message.
    """
    generator = np.random.default_rng(0)
    images = generator.uniform(size=(8, *data.IMAGE_SHAPE)).astype(np.float32)
    images[0], images[1] = 0.0, 1.0  # black and white are the edge cases
    expected = model(images, training=False)
    actual = exported(images=images)
    for name, value in expected.items():
        scale = max(1.0, float(np.max(np.abs(value))))
        difference = float(np.max(np.abs(value - actual[name]))) / scale
        if not difference <= PARITY_TOLERANCE:
            raise ArithmeticError(
                f"the {kind}'s {name!r} differs from the model's by "
                f"{difference:g}, more than {PARITY_TOLERANCE:g}; nothing was "
                "exported"
            )
