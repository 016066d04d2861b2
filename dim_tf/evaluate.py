r"""Attacks models and keeps a record of every sample.

    python -m dim_tf.evaluate --list_attacks
    python -m dim_tf.evaluate --flagfile=flags/evaluate.cfg
    python -m dim_tf.evaluate --models=dim,cnn --suite=quick --num_examples=50

Records go to `--results`, a Parquet file for every shard of samples. What is
there already is not made again: the same command goes on where it was stopped,
and one with more examples adds to it. `python -m dim_tf.report --results=...`
makes tables of them.
"""

import dataclasses
import pathlib

import keras
import rich.console
import rich.progress
import rich.table

from dim_tf import config
from dim_tf import data
from dim_tf import entry
from dim_tf import models
from dim_tf.attacks.suite import PRESETS
from dim_tf.attacks.suite import AttackSpec
from dim_tf.evaluation import sweep
from dim_tf.models import saving


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """What to attack, and with what."""

    list_attacks: bool = config.setting(
        False, "Print the attacks of every preset and stop."
    )
    models: str = config.setting(
        "dim", "Comma-separated names or folders of models."
    )
    suite: str = config.setting(
        "paper", "Preset of attacks.", choices=tuple(PRESETS)
    )
    only: str = config.setting(
        "", "Comma-separated names of attacks of the suite; empty: all."
    )
    num_examples: int = config.setting(
        100, "Test images, evenly of all classes.", minimum=1
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
    folder: pathlib.Path, settings: EvaluateConfig, dataset: str
) -> list[sweep.Shard]:
    """What is left to do with one model on this machine."""
    card = saving.read_card(folder)
    cells = [
        sweep.Cell(
            model=card["model"],
            weights_digest=card["weights_digest"],
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


def _has_convolutions(model: keras.Model) -> bool:
    return any(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)


def _sweep(settings: EvaluateConfig, dataset: data.DataConfig) -> None:
    names = list(filter(None, settings.models.split(",")))
    plans = {
        folder: shards_of(folder, settings, dataset.dataset)
        for folder in map(models.find, names)
    }
    todo = sum(
        len(shard.positions) for plan in plans.values() for shard in plan
    )
    console = rich.console.Console()
    if settings.dry_run:
        console.print(_plan_table(plans, settings))
        return
    examples = data.load(dataset, "test")
    examples = examples.take(sweep.stratified(examples.labels))
    if settings.num_examples > len(examples):
        raise ValueError(
            f"--num_examples must be at most {len(examples)}, the size of the "
            f"test set, got {settings.num_examples}"
        )
    examples = examples.take(slice(settings.num_examples))
    with _progress(console) as progress:
        task = progress.add_task("", total=todo)
        for folder, shards in plans.items():
            if not shards:
                continue
            subject = sweep.Subject(models.load_outputs(folder), examples)
            sweep.check_model(subject.model, examples)
            xla = settings.xla == "on" or (
                settings.xla == "auto" and not _has_convolutions(subject.model)
            )
            for shard in shards:
                cell = shard.cell
                progress.update(
                    task, description=f"{cell.model} {cell.spec.name}"
                )
                sweep.run_shard(shard, subject, jit_compile=xla)
                progress.advance(task, len(shard.positions))
    print(f"records of {len(names)} models in {settings.results}")


def _progress(console) -> rich.progress.Progress:
    return rich.progress.Progress(
        *rich.progress.Progress.get_default_columns(),
        rich.progress.MofNCompleteColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _plan_table(plans, settings) -> rich.table.Table:
    table = rich.table.Table("model", "attack", "samples to do", "files")
    for folder, shards in plans.items():
        for spec in settings.attacks:
            own = [shard for shard in shards if shard.cell.spec == spec]
            samples = sum(len(shard.positions) for shard in own)
            table.add_row(folder.name, spec.name, str(samples), str(len(own)))
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
