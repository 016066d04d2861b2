"""Training any model of the registry, from settings to a model folder."""

import dataclasses
import pathlib
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from dim_tf import config
from dim_tf import data
from dim_tf import models
from dim_tf.models import analysis_by_synthesis as abs_model
from dim_tf.models import cnn as cnn_model
from dim_tf.models import dim as dim_model
from dim_tf.models import madry as madry_model
from dim_tf.training import adversarial
from dim_tf.training import analysis_by_synthesis
from dim_tf.training import classifier
from dim_tf.training import dim
from dim_tf.training import loop
from dim_tf.training import run_folder

STRATEGIES = ("default", "mirrored")
_CHECKPOINTS = "checkpoints"
TRAINABLE = tuple(
    name for name, entry in models.MODELS.items() if entry.parent is None
)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """What to train, on what devices, and where."""

    model: str = config.setting(
        "dim", "Model to train; bi_* share its weights.", choices=TRAINABLE
    )
    seed: int = config.setting(
        0, "Seed of weights, order and noise.", minimum=0, maximum=2**31 - 1
    )
    batch_size: int = config.setting(
        128, "Images per step; for ABS, of each class.", minimum=1
    )
    xla: bool = config.setting(
        True, "Compile the steps of dense models with XLA."
    )
    run_dir: str = config.setting(
        "", "Folder of checkpoints and TensorBoard logs; empty: runs/<model>."
    )
    strategy: str = config.setting(
        "default",
        "mirrored spreads each batch over all GPUs of this machine.",
        choices=STRATEGIES,
    )
    checkpoint_every: int = config.setting(
        500, "Steps between checkpoints.", minimum=1
    )
    log_every: int = config.setting(
        50, "Steps between logs of the loss.", minimum=1
    )

    def __post_init__(self):
        config.validate(self)

    @property
    def run_path(self) -> pathlib.Path:
        return pathlib.Path(self.run_dir or f"runs/{self.model}")


@dataclasses.dataclass(frozen=True)
class _Method:
    """How models of one kind of sizes are trained.

    Attributes:
        recipe: class of its settings.
        stages: function that makes the stages.
        on_many_devices: whether it may be spread over several.
    """

    recipe: type[Any]
    stages: Callable[..., list[loop.Stage]]
    on_many_devices: bool = True


METHODS = {
    dim_model.DimConfig: _Method(dim.DimRecipe, dim.stages),
    cnn_model.CnnConfig: _Method(
        classifier.ClassifierRecipe, classifier.stages
    ),
    madry_model.MadryConfig: _Method(
        adversarial.AdversarialRecipe, adversarial.stages
    ),
    # What its search has decoded is in the layer, and so on one device alone.
    abs_model.AbsConfig: _Method(
        analysis_by_synthesis.AbsRecipe,
        analysis_by_synthesis.stages,
        on_many_devices=False,
    ),
}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained model with what is known of its training.

    Attributes:
        model: images -> dict of outputs.
        settings: all that decided the weights, as JSON.
        seconds: that it took, with validations and pictures on the way.
        made_with: `circumstances.here()` where it was begun.
    """

    model: keras.Model
    settings: dict[str, Any]
    seconds: float
    made_with: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Training:
    """A training that is ready to run, or to be restored.

    Attributes:
        settings: all that decides the weights, as JSON.
        model: what is trained.
        stages: how.
        strategy: on which devices.
        config: folder of its settings, checkpoints and logs, and so on.
    """

    settings: dict[str, Any]
    model: keras.Model
    stages: Sequence[loop.Stage]
    strategy: tf.distribute.Strategy
    config: TrainConfig

    def run(self, callbacks: Sequence[loop.Callback] = ()) -> Trained:
        """Trains, or resumes where a killed run stopped.

        For the same weights from the same seed, call
        `tf.config.experimental.enable_op_determinism()` first.

        Raises:
            ValueError: the run folder holds a training with other settings.
            FloatingPointError: the loss is not finite.
        """
        folder = self.config.run_path
        run_folder.claim(folder, self.settings)
        seconds = loop.run(
            self.stages,
            folder / _CHECKPOINTS,
            callbacks=callbacks,
            strategy=self.strategy,
            xla=self.config.xla,
            log_every=self.config.log_every,
            checkpoint_every=self.config.checkpoint_every,
        )
        return self._trained(seconds)

    def restore(self) -> Trained:
        """The model of a finished run, from its checkpoints.

        Raises:
            FileNotFoundError: a stage has no checkpoint.
            ValueError: the run is not finished.
        """
        folder = self.config.run_path / _CHECKPOINTS
        return self._trained(loop.restore(self.stages, folder))

    def _trained(self, seconds):
        made_with = run_folder.made_with(self.config.run_path)
        return Trained(self.model, self.settings, seconds, made_with)


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The distribution strategy of a name in `STRATEGIES`.

    On one device that is the default one, which XLA can compile.
    """
    if name == "mirrored":
        mirrored = tf.distribute.MirroredStrategy()
        if mirrored.num_replicas_in_sync > 1:
            return mirrored
    return tf.distribute.get_strategy()


def prepare(
    run: TrainConfig,
    sizes: Any,
    recipe: Any,
    dataset: data.DataConfig,
    strategy: tf.distribute.Strategy | None = None,
) -> Training:
    """Builds everything that a training needs; writes nothing.

    Args:
        run: model, seed, folders.
        sizes: of the model: of the class that `models.entry` names.
        recipe: of its method in `METHODS`.
        dataset: what to train on.
        strategy: None: the one that `run.strategy` names.

    Raises:
        ValueError: the settings do not go together.
    """
    strategy = strategy or make_strategy(run.strategy)
    replicas = strategy.num_replicas_in_sync
    settings = {
        "model": run.model,
        "seed": run.seed,
        "batch_size": run.batch_size,
        "xla": run.xla,
        "replicas": replicas,
        "dataset": dataset.dataset,
        "validation_size": dataset.validation_size,
        "sizes": dataclasses.asdict(models.resolve(run.model, sizes)),
        "recipe": dataclasses.asdict(recipe),
    }
    method = METHODS[type(sizes)]
    if replicas > 1 and not method.on_many_devices:
        raise ValueError(
            f"{run.model} trains on one device, and --strategy="
            f"{run.strategy} has {replicas}; leave it out"
        )
    keras.utils.set_random_seed(run.seed)
    with strategy.scope():
        model = models.build(run.model, sizes)
    stages = method.stages(
        model,
        recipe,
        data.load(dataset, "train"),
        data.load(dataset, "validation"),
        batch_size=run.batch_size,
        seed=(0, run.seed),
    )
    for stage in stages:
        _check_batch_size(stage, run.batch_size, replicas)
    return Training(settings, model, stages, strategy, run)


def _check_batch_size(stage, given, replicas):
    most = len(stage.examples)
    if stage.batch_size > most or stage.batch_size % replicas:
        advice = "change --batch_size, or " * (stage.batch_size == given)
        raise ValueError(
            f"a step of the stage {stage.name!r} must be of at most the "
            f"{most} images it has, and of a multiple of the {replicas} "
            f"devices, got {stage.batch_size}; {advice}train on more images"
        )


def restore(run_path: pathlib.Path, dataset: data.DataConfig) -> Trained:
    """The model of a finished run, from its checkpoints.

    Args:
        run_path: the run's folder.
        dataset: where the images lie that the run was trained on.

    Raises:
        FileNotFoundError: no training there, or a stage has no checkpoint.
        ValueError: the run is damaged, not finished, or used another dataset.
    """
    settings = run_folder.read_settings(run_path)
    for name in ("dataset", "validation_size"):
        if settings[name] != getattr(dataset, name):
            raise ValueError(
                f"{run_path} was trained with --{name}={settings[name]}, got "
                f"{getattr(dataset, name)}"
            )
    run = TrainConfig(
        model=settings["model"],
        seed=settings["seed"],
        batch_size=settings["batch_size"],
        run_dir=str(run_path),
    )
    sizes = models.entry(run.model).sizes
    training = prepare(
        run,
        config.from_values(sizes, settings["sizes"], run_path),
        config.from_values(METHODS[sizes].recipe, settings["recipe"], run_path),
        dataset,
    )
    return dataclasses.replace(training, settings=settings).restore()
