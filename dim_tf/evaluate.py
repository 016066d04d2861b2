r"""Attacks models and keeps a record of every sample.

    python -m dim_tf.evaluate --list_attacks
    python -m dim_tf.evaluate --flagfile=flags/evaluate.cfg
    python -m dim_tf.evaluate --models=dim,cnn --suite=quick --num_examples=50
    python -m dim_tf.evaluate --models=mine.keras --images=mine.npz

Records go to `--results`, a Parquet file for every shard of samples. What is
there already is not made again: the same command goes on where it was stopped,
and one with more examples adds to it. `python -m dim_tf.report --results=...`
makes tables of them.
"""

import dataclasses
import pathlib

import keras
import numpy as np
import rich.console
import rich.progress
import rich.table

from dim_tf import config
from dim_tf import data
from dim_tf import entry
from dim_tf.attacks.suite import PRESETS
from dim_tf.attacks.suite import AttackSpec
from dim_tf.evaluation import sweep
from dim_tf.evaluation import targets
from dim_tf.models import foreign


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """What to attack, and with what."""

    list_attacks: bool = config.setting(
        False, "Print the attacks of every preset and stop."
    )
    models: str = config.setting(
        "dim",
        "Comma-separated models: names, folders with a card.json, and Keras "
        "files or SavedModels of any other classifier of images.",
    )
    images: str = config.setting(
        "",
        "An .npz file of images and labels to attack; empty: the test set of "
        "--dataset.",
    )
    bounds: str = config.setting(
        "0..1", "What a model of others takes for black and for white."
    )
    signature: str = config.setting(
        "", "Of a SavedModel of others; empty: serving_default."
    )
    suite: str = config.setting(
        "paper", "Preset of attacks.", choices=tuple(PRESETS)
    )
    only: str = config.setting(
        "", "Comma-separated names of attacks of the suite; empty: all."
    )
    num_examples: int = config.setting(
        100, "Images, evenly of all classes.", minimum=1
    )
    results: str = config.setting("results/local", "Folder of the records.")
    shard_size: int = config.setting(
        100, "Samples attacked together and written to one file.", minimum=1
    )
    seed: int = config.setting(0, "Of everything random.", minimum=0)
    xla: str = config.setting(
        "auto",
        "Compile attacks with XLA; auto: on models without convolutions.",
        choices=("auto", "on", "off"),
    )
    dry_run: bool = config.setting(
        False, "Print what there is to do, and stop."
    )
    shard_index: int = config.setting(
        0, "Of the machines that share the work, which one this is.", minimum=0
    )
    shard_count: int = config.setting(
        1, "How many machines share the work.", minimum=1
    )

    def __post_init__(self):
        config.validate(self)
        unknown = set(filter(None, self.only.split(","))) - set(self.specs)
        if unknown:
            raise ValueError(
                f"--only={self.only}: {', '.join(sorted(unknown))} not among "
                f"{', '.join(self.specs)}"
            )
        if self.shard_index >= self.shard_count:
            raise ValueError(
                f"--shard_index must be less than --shard_count="
                f"{self.shard_count}, got {self.shard_index}"
            )

    @property
    def specs(self) -> dict[str, AttackSpec]:
        return PRESETS[self.suite]

    @property
    def targets(self) -> list[targets.Target]:
        low, _, high = self.bounds.partition("..")
        try:
            bounds = float(low), float(high)
        except ValueError:
            raise ValueError(
                f"--bounds must be written low..high, such as 0..255, got "
                f"{self.bounds!r}"
            ) from None
        return [
            targets.find(name, bounds, self.signature)
            for name in filter(None, self.models.split(","))
        ]

    @property
    def attacks(self) -> list[AttackSpec]:
        names = list(filter(None, self.only.split(","))) or list(self.specs)
        return [self.specs[name] for name in names]


def attacks_table(preset: str) -> rich.table.Table:
    """The attacks of a preset, one a line."""
    table = rich.table.Table(
        "name", "norm", "asks for", "attack", title=preset, title_justify="left"
    )
    for spec in PRESETS[preset].values():
        settings = repr(spec.attack)
        if spec.repeats > 1:
            settings += f" x{spec.repeats}"
        table.add_row(spec.name, spec.norm, spec.access, settings)
    return table


def shards_of(
    target: targets.Target, settings: EvaluateConfig, dataset: str
) -> list[sweep.Shard]:
    """What is left to do with one model on this machine."""
    cells = [
        sweep.Cell(
            model=target.name,
            weights_digest=target.weights_digest,
            dataset=dataset,
            preset=settings.suite,
            spec=spec,
            seed=settings.seed,
        )
        for spec in settings.attacks
    ]
    planned = sweep.plan(
        pathlib.Path(settings.results),
        cells,
        settings.num_examples,
        settings.shard_size,
    )
    # By place and not by number: others' progress must not move the shares.
    return [
        shard
        for shard in planned
        if shard.positions[0] // settings.shard_size % settings.shard_count
        == settings.shard_index
    ]


def _load_examples(
    settings: EvaluateConfig, dataset: data.DataConfig
) -> data.Examples:
    """The images to attack, evenly of all classes."""
    if settings.images:
        images, labels = foreign.images_of(pathlib.Path(settings.images))
        examples = data.Examples(images, labels, np.arange(len(labels)))
    else:
        examples = data.load(dataset, "test")
    if settings.num_examples > len(examples):
        raise ValueError(
            f"--num_examples must be at most {len(examples)}, the number of "
            f"images there are, got {settings.num_examples}"
        )
    order = sweep.stratified(examples.labels)
    return examples.take(order[: settings.num_examples])


def _suits_xla(model: keras.Model) -> bool:
    """Whether all that is known of a model is fast under XLA on a CPU."""
    slow = (
        keras.layers.Conv2D,
        keras.layers.Conv2DTranspose,
        keras.layers.DepthwiseConv2D,
        keras.layers.SeparableConv2D,
        # Of what is in a SavedModel nothing is known.
        keras.layers.TFSMLayer,
    )
    return not any(
        isinstance(layer, slow)
        or (isinstance(layer, keras.Model) and not _suits_xla(layer))
        for layer in model.layers
    )


def _sweep(settings: EvaluateConfig, dataset: data.DataConfig) -> None:
    name = dataset.dataset
    if settings.images:
        name = foreign.digest(pathlib.Path(settings.images))
    plans = {
        target: shards_of(target, settings, name) for target in settings.targets
    }
    console = rich.console.Console()
    if settings.dry_run:
        console.print(_plan_table(plans, settings))
        return
    examples = _load_examples(settings, dataset)
    todo = sum(len(s.positions) for shards in plans.values() for s in shards)
    with _progress(console) as progress:
        task = progress.add_task("", total=todo)
        for target, shards in plans.items():
            if not shards:
                continue
            subject = sweep.Subject(target.load(), examples)
            accuracy = targets.check(subject.model, examples)
            progress.print(
                f"{target.name}: clean accuracy {accuracy:.1%} on "
                f"{len(examples)} images"
            )
            xla = settings.xla == "on" or (
                settings.xla == "auto" and _suits_xla(subject.model)
            )
            for shard in shards:
                attack = shard.cell.spec.name
                progress.update(task, description=f"{target.name} {attack}")
                sweep.run_shard(shard, subject, jit_compile=xla)
                progress.advance(task, len(shard.positions))
    print(f"records in {settings.results}")


def _progress(console) -> rich.progress.Progress:
    return rich.progress.Progress(
        *rich.progress.Progress.get_default_columns(),
        rich.progress.MofNCompleteColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _plan_table(plans, settings) -> rich.table.Table:
    table = rich.table.Table(
        "model", "attack", "samples to do", "files", "minutes left"
    )
    for target, shards in plans.items():
        for spec in settings.attacks:
            own = [shard for shard in shards if shard.cell.spec == spec]
            samples = sum(len(shard.positions) for shard in own)
            place = pathlib.Path(settings.results) / target.name / spec.name
            speed = sweep.seconds_per_sample(place)
            # Known only from samples that are done.
            left = "?" if speed is None else f"{speed * samples / 60:.1f}"
            table.add_row(
                target.name, spec.name, str(samples), str(len(own)), left
            )
    return table


def main(argv: list[str]) -> None:
    if argv:
        raise ValueError(f"evaluate takes flags only, got {argv[0]!r}")
    settings = config.from_flags(EvaluateConfig)
    if settings.list_attacks:
        console = rich.console.Console()
        for preset in PRESETS:
            console.print(attacks_table(preset))
        return
    _sweep(settings, config.from_flags(data.DataConfig))


if __name__ == "__main__":
    config.define_flags(EvaluateConfig, data.DataConfig)
    entry.run(main)
