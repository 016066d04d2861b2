"""From a trained model to its folders under `saved_models/`."""

import dataclasses
import pathlib
import shlex
from collections.abc import Iterator
from typing import Any

import keras

from dim_tf import config
from dim_tf import data
from dim_tf import metrics
from dim_tf import models
from dim_tf import training
from dim_tf.evaluation import first_look
from dim_tf.models import onnx_file
from dim_tf.models import saving
from dim_tf.training import run_folder

_DESTINATION = "release.json"


@dataclasses.dataclass(frozen=True)
class ReleaseConfig:
    """Where a trained model goes and how it is looked at."""

    saved_models: str = config.setting(
        str(models.SAVED_MODELS), "Folder that gets a folder per model."
    )
    test_set: bool = config.setting(
        True,
        "Measure the clean accuracy on the test set; off while choosing.",
    )
    validation_images: int = config.setting(
        5_000,
        "Validation images for the accuracy in the card, at most; less where "
        "a classification takes long.",
        minimum=1,
    )
    first_look: int = config.setting(
        100,
        "Validation images for a first look at robustness; 0: none.",
        minimum=0,
    )

    def __post_init__(self):
        config.validate(self)


def remember(destination: ReleaseConfig, run_path: pathlib.Path) -> None:
    """Leaves in a run folder how its model is to be released.

    Where to is left out if it is the default, which is of a clone: the run may
    be moved to another.
    """
    content = dataclasses.asdict(destination)
    folder = content.pop("saved_models")
    if folder != str(models.SAVED_MODELS):
        content["saved_models"] = str(pathlib.Path(folder).resolve())
    run_folder.write_json(run_path / _DESTINATION, content)


def remembered(run_path: pathlib.Path) -> dict[str, Any]:
    """What `remember` left; nothing in runs of earlier versions."""
    path = run_path / _DESTINATION
    return run_folder.read_json(path) if path.is_file() else {}


def variants(name: str) -> Iterator[str]:
    """The model itself, then those that share its weights."""
    yield name
    for other, entry in models.MODELS.items():
        if entry.parent == name:
            yield other


def release(
    trained: training.Trained,
    destination: ReleaseConfig,
    dataset: data.DataConfig,
) -> Iterator[str]:
    """Writes a trained model and its variants, SavedModels included.

    Args:
        trained: what `Training.run` or `training.restore` returned.
        destination: where each model gets a folder of its name.
        dataset: whose test set gives the clean accuracy.

    Yields:
        A line for the user per model, when its folder is complete.
    """
    name = trained.settings["model"]
    sizes = models.entry(name).sizes(**trained.settings["sizes"])
    test = data.load(dataset, "test") if destination.test_set else None
    validation = data.load(dataset, "validation")
    made = []
    # A variant is useless beside other weights than its card's: all are ready
    # before the first one is written.
    for variant in variants(name):
        model = trained.model
        if variant != name:
            model = models.build(variant, sizes)
            model.set_weights(trained.model.get_weights())
        card = make_card(
            variant,
            model,
            trained,
            models.resolve(variant, sizes),
            test,
            validation.take(slice(destination.validation_images)),
            validation.take(slice(destination.first_look)),
        )
        folder = pathlib.Path(destination.saved_models) / variant
        made.append((model, card, folder))
    for model, card, folder in made:
        saving.write(folder, card, None if card["parent"] else model)
    for model, card, folder in made:
        version = saving.export(model, card, folder)
        share, images = card["validation_accuracy"], "validation"
        if test:
            share, images = card["clean_accuracy"], f"{len(test)} test"
        name = card["model"]
        line = (
            f"{name}: clean accuracy {share:.2%} on {images} images; "
            f"SavedModel {version}"
        )
        if (folder / onnx_file.NAME).is_file():
            line += (
                f"; {onnx_file.NAME} is of the training before, `python -m "
                f"dim_tf.export --model={name} --format=onnx "
                f"--saved_models={shlex.quote(destination.saved_models)}` "
                "makes it anew"
            )
        yield line


def make_card(
    name: str,
    model: keras.Model,
    trained: training.Trained,
    sizes: Any,
    test: data.Examples | None,
    validation: data.Examples,
    some: data.Examples,
) -> dict[str, Any]:
    """What a model is, how it was made and how good it is, as JSON.

    `some` are the examples of the first look at its robustness.
    """
    entry = models.entry(name)
    return {
        "model": name,
        "summary": entry.summary,
        "parent": entry.parent,
        "weights_digest": saving.digest(model),
        "parameters": model.count_params(),
        "clean_accuracy": test and metrics.accuracy(model, test),
        "num_test_images": test and len(test),
        "num_validation_images": len(validation),
        "validation_accuracy": metrics.accuracy(model, validation),
        "num_first_look_images": len(some),
        "robust_accuracy_upper_bounds": first_look.robust_accuracies(
            name, model, some
        ),
        "training_seconds": round(trained.seconds, 1),
        "settings": {**trained.settings, "sizes": dataclasses.asdict(sizes)},
        **trained.made_with,
    }
