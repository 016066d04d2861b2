r"""Trains a model and writes it to saved_models/.

    python -m dim_tf.train --flagfile=flags/dim.cfg

Run it again to go on where it stopped. Watch it with

    tensorboard --logdir runs
"""

import pathlib
import shlex

import numpy as np
import rich.console
import tensorflow as tf

from dim_tf import config
from dim_tf import data
from dim_tf import entry
from dim_tf import metrics
from dim_tf import models
from dim_tf import pictures
from dim_tf import release
from dim_tf import training
from dim_tf.training import callbacks
from dim_tf.training import run_folder


def define_flags() -> None:
    """Defines the flags of every model's sizes and recipe."""
    methods = training.METHODS
    config.define_flags(
        training.TrainConfig,
        data.DataConfig,
        release.ReleaseConfig,
        *methods,
        *(method.recipe for method in methods.values()),
    )


def settings_from_flags(model: str):
    """Sizes and recipe of a model; raises on flags without effect on it."""
    row = models.entry(model)
    for sizes, method in training.METHODS.items():
        for cls in (sizes, method.recipe):
            if sizes is not row.sizes:
                config.reject_flags(cls, f"--model={model} does not use it")
            elif row.switches.get("denoiser") is False:
                reason = f"--model={model} has no denoiser"
                config.reject_flags(cls, reason, prefix="denoiser_")
    recipe = training.METHODS[row.sizes].recipe
    return config.from_flags(row.sizes), config.from_flags(recipe)


def draw(model, run_path: pathlib.Path, validation: data.Examples) -> None:
    """Leaves pictures of a trained DIM in its run folder."""
    digits = pictures.one_of_each(validation)
    outputs = {
        name: np.asarray(value)
        for name, value in model(digits.images, training=False).items()
    }
    names = [f"row {row}" for row in digits.rows]
    path = run_path / "stages.png"
    pictures.draw_stages(path, digits.images, names, outputs)
    some = validation.take(slice(1_000))
    latents = metrics.outputs(model, some.images, "latents")
    callbacks.write_embeddings(run_path, latents, some)


def main(argv: list[str]) -> None:
    if argv:
        raise ValueError(f"train takes flags only, got {argv[0]!r}")
    run = config.from_flags(training.TrainConfig)
    dataset = config.from_flags(data.DataConfig)
    destination = config.from_flags(release.ReleaseConfig)
    sizes, recipe = settings_from_flags(run.model)
    tf.config.experimental.enable_op_determinism()

    plan = training.prepare(run, sizes, recipe, dataset)
    tensorboard = callbacks.TensorBoard(
        run.run_path, run_folder.flatten(plan.settings)
    )
    # First of all, so that a run killed at any time can be exported; but not
    # into the folder of another run.
    run_folder.claim(run.run_path, plan.settings)
    release.remember(destination, run.run_path)
    trained = plan.run([callbacks.Progress(), tensorboard])
    if "denoised" in trained.model.output:
        draw(trained.model, run.run_path, data.load(dataset, "validation"))
    console = rich.console.Console()
    for line in release.release(trained, destination, dataset):
        console.print(line, soft_wrap=True, markup=False)
    folder = shlex.quote(str(run.run_path.parent))
    console.print(
        f"pictures and curves: tensorboard --logdir {folder}",
        soft_wrap=True,
        markup=False,
    )


if __name__ == "__main__":
    define_flags()
    entry.run(main, resumes=True)
