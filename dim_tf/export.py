r"""Makes SavedModels or ONNX files from trained models.

    python -m dim_tf.export --model=all
    python -m dim_tf.export --model=dim --format=onnx
    python -m dim_tf.export --run_dir=runs/dim

Without --run_dir they are made from the weights in saved_models/.
With it, the model's folder itself is written anew from a run's checkpoints,
where and how the training was told to, unless flags say otherwise.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator

import rich.console

from dim_tf import config
from dim_tf import data
from dim_tf import entry
from dim_tf import models
from dim_tf import release
from dim_tf import training
from dim_tf.models import onnx_file
from dim_tf.models import saving
from dim_tf.training import run_folder

FORMATS = {"saved_model": saving.export, "onnx": onnx_file.export}


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """What to export."""

    model: str = config.setting(
        "all", "Model to export.", choices=("all", *models.MODELS)
    )
    run_dir: str = config.setting(
        "", "Run folder of a finished training; empty: the trained weights."
    )
    format: str = config.setting(
        "saved_model", "What to write.", choices=tuple(FORMATS)
    )

    def __post_init__(self):
        config.validate(self)
        if self.run_dir and self.format != "saved_model":
            raise ValueError(
                f"--run_dir makes SavedModels, not --format={self.format}; "
                "export the run first, and then its model"
            )


def export_trained(
    name: str, folder: pathlib.Path, write: Callable = saving.export
) -> Iterator[pathlib.Path | str]:
    """Exports one model, or all that are there, from `model.keras`.

    Args:
        name: of the model, or `all`.
        folder: of the models' folders.
        write: one of `FORMATS`.

    Yields:
        What was written; with `all`, also why a model cannot be.

    Raises:
        FileNotFoundError: there is nothing to export.
        ValueError: the model that was named cannot be.
    """
    names = [
        each
        for each in (models.MODELS if name == "all" else [name])
        if (folder / each / "card.json").is_file()
    ]
    if not names:
        raise FileNotFoundError(f"no trained model {name!r} in {folder}")
    for each in names:
        model = models.load_outputs(folder / each)
        card = saving.read_card(folder / each)
        try:
            yield write(model, card, folder / each)
        except onnx_file.NotInOnnx as error:
            if name != "all":
                raise
            yield f"left out: {error}"


def export_run(model: str, run_path: pathlib.Path) -> Iterator[str]:
    """Writes the model of a finished run; yields lines for the user."""
    settings = run_folder.read_settings(run_path)
    if model not in ("all", settings["model"]):
        raise ValueError(
            f"{run_path} holds a {settings['model']}, not a {model}"
        )
    dataset = config.from_flags(data.DataConfig, defaults=settings)
    destination = config.from_flags(
        release.ReleaseConfig, defaults=release.remembered(run_path)
    )
    trained = training.restore(run_path, dataset)
    yield from release.release(trained, destination, dataset)


def main(argv: list[str]) -> None:
    if argv:
        raise ValueError(f"export takes flags only, got {argv[0]!r}")
    what = config.from_flags(ExportConfig)
    lines: Iterable[object]
    if what.run_dir:
        lines = export_run(what.model, pathlib.Path(what.run_dir))
    else:
        reason = "there is no --run_dir"
        config.reject_flags(data.DataConfig, reason)
        config.reject_flags(
            release.ReleaseConfig, reason, but=("saved_models",)
        )
        destination = config.from_flags(release.ReleaseConfig)
        folder = pathlib.Path(destination.saved_models)
        lines = export_trained(what.model, folder, FORMATS[what.format])
    console = rich.console.Console()
    for line in lines:
        console.print(str(line), soft_wrap=True, markup=False)


if __name__ == "__main__":
    config.define_flags(ExportConfig, release.ReleaseConfig, data.DataConfig)
    entry.run(main)
