r"""Attacks models and keeps a record of every sample.

    python -m dim_tf.evaluate --list_attacks
    python -m dim_tf.evaluate --flagfile=flags/evaluate.cfg
    python -m dim_tf.evaluate --models=dim,cnn --suite=quick --num_examples=50
    python -m dim_tf.evaluate --models=mine.keras --images=mine.npz

Records go to `--results`, a Parquet file for every shard of samples. What is
there already is not made again: the same command resumes where it was stopped,
and one with more examples adds to it. `python -m dim_tf.report --results=...`
makes tables of them.
"""

import dataclasses
import pathlib

import numpy as np
import rich.console
import rich.table

from dim_tf import config
from dim_tf import data
from dim_tf import entry
from dim_tf import layers
from dim_tf.attacks.selection import select
from dim_tf.attacks.suite import PRESETS
from dim_tf.evaluation import executors
from dim_tf.evaluation import planning
from dim_tf.evaluation import progress
from dim_tf.evaluation import targets
from dim_tf.evaluation import thresholds
from dim_tf.evaluation.campaign import LAST_SEED
from dim_tf.evaluation.campaign import Campaign
from dim_tf.models import foreign
from dim_tf.models import wrapping

# Columns of a table that no terminal cuts off.
_WIDE = 400


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """What to attack, and with what."""

    list_attacks: bool = config.setting(
        False, "Print the attacks of every preset and stop."
    )
    models: str = config.setting(
        "dim",
        "Comma-separated models: names, folders with a card.json, and Keras "
        "files or SavedModels of any other classifier of images, which "
        "name=path gives a name.",
    )
    images: str = config.setting(
        "",
        "An .npz file of images and labels to attack; empty: the test set of "
        "--dataset.",
    )
    bounds: str = config.setting(
        "0..1", "Pixel range of a third-party model: low..high, black..white."
    )
    signature: str = config.setting(
        "serving_default", "Signature of a third-party SavedModel to call."
    )
    scores: str = config.setting(
        "",
        "Output with the logits, of a third-party model that has several; "
        "empty: the one called scores.",
    )
    probabilities: bool = config.setting(
        False,
        "Third-party models give probabilities, which add up to 1; attacks get "
        "their logarithms.",
    )
    surrogate: str = config.setting(
        "",
        "Gradient that attacks get through the threshold of models of this "
        "project that binarize; empty: a sigmoid's.",
        choices=("", *layers.SURROGATES),
    )
    suite: str = config.setting(
        "paper", "Preset of attacks.", choices=tuple(PRESETS)
    )
    only: str = config.setting(
        "", "Comma-separated names of attacks of the suite; empty: all."
    )
    num_examples: int = config.setting(
        100,
        "Images, evenly of all classes; if fewer than the classes, of the "
        "first ones.",
        minimum=1,
    )
    results: str = config.setting("results/local", "Folder of the records.")
    shard_size: int = config.setting(
        100, "Samples attacked together and written to one file.", minimum=1
    )
    num_adversarials: int = config.setting(
        -1,
        "Images, the first ones, whose adversarials are kept in the records; "
        "-1: all.",
        minimum=-1,
    )
    seed: int = config.setting(
        0, "Seed of everything random.", minimum=0, maximum=LAST_SEED
    )
    xla: str = config.setting(
        "auto",
        "Compile attacks with XLA; auto: on models that are known to suit it.",
        choices=("auto", "on", "off"),
    )
    dry_run: bool = config.setting(
        False, "Print what there is to do, and stop."
    )
    probes: bool = config.setting(
        True,
        "Also run gradient descent with twice the steps, from another start "
        "and at the threshold alone, for the report's diagnostics.",
    )
    thresholds: str = config.setting(
        "",
        "Distances, of pixels from 0 to 1, that accuracies are reported at, "
        "such as linf:8/255,l2:0.5. Attacks within an epsilon try them, too, "
        "slow ones nothing else. Norms that are not named have the paper's, "
        "which are for MNIST.",
    )
    refine: bool = config.setting(
        False,
        "Also refine every adversarial for a model that binarizes half-way "
        "between black and white: take back all changes that it cannot see.",
    )
    executor: str = config.setting(
        "process",
        "Where attacks run: in this process, or on workers of a Ray cluster.",
        choices=("process", "ray"),
    )
    ray_address: str = config.setting(
        "", "Address of the Ray cluster; empty: start one on this machine."
    )
    ray_cpus: float = config.setting(2.0, "Cores of a Ray worker.", minimum=1)
    ray_gpus: float = config.setting(
        0.0, "GPUs of a Ray worker, possibly a share of one.", minimum=0
    )
    shard_index: int = config.setting(
        0, "Index of this one of the machines that share the work.", minimum=0
    )
    shard_count: int = config.setting(
        1, "How many machines share the work.", minimum=1
    )

    def __post_init__(self):
        config.validate(self)
        select(self.suite, self.only)

    @property
    def targets(self) -> list[targets.Target]:
        low, _, high = self.bounds.partition("..")
        try:
            if high.startswith("."):  # "0...255" is not up to 0.255
                raise ValueError
            bounds = float(low), float(high)
        except ValueError:
            raise ValueError(
                f"--bounds must be written low..high, such as 0..255, got "
                f"{self.bounds!r}"
            ) from None
        reading = wrapping.Reading(
            bounds=bounds,
            signature=self.signature,
            probabilities=self.probabilities,
            scores=self.scores,
        )
        return targets.find_all(self.models, reading, self.surrogate or None)

    def campaign(self, dataset: str) -> Campaign:
        """The attacks; `dataset` is the name of the images."""
        kept = self.num_adversarials
        return Campaign(
            preset=self.suite,
            attacks=select(self.suite, self.only),
            num_examples=self.num_examples,
            dataset=dataset,
            limits=thresholds.parse(self.thresholds),
            seed=self.seed,
            probes=self.probes,
            refined=self.refine,
            shard_size=self.shard_size,
            num_adversarials=None if kept < 0 else kept,
            shard_index=self.shard_index,
            shard_count=self.shard_count,
        )


def attacks_table(preset: str) -> rich.table.Table:
    """The attacks of a preset, one a line."""
    table = rich.table.Table(
        "name", "norm", "asks for", "attack", title=preset, title_justify="left"
    )
    for spec in PRESETS[preset].values():
        settings = repr(spec.attack)
        if spec.repeats > 1:
            settings += f" x{spec.repeats}"
        if spec.at_threshold:
            settings += " at the threshold alone"
        table.add_row(spec.name, spec.norm, spec.access, settings)
    return table


def _load_examples(
    settings: EvaluateConfig, dataset: data.DataConfig
) -> data.Examples:
    """The images to attack, evenly of all classes."""
    if settings.images:
        images, labels = foreign.images_of(pathlib.Path(settings.images))
        examples = data.Examples(images, labels, np.arange(len(labels)))
    else:
        # Whether model and images fit together is seen when both are there.
        examples = data.load(dataset, "test", any_shape=True)
    return examples.take(
        planning.evenly(examples.labels, settings.num_examples)
    )


def _sweep(settings: EvaluateConfig, dataset: data.DataConfig) -> None:
    found = settings.targets
    if settings.images:
        name = foreign.digest(pathlib.Path(settings.images))
    else:
        name = dataset.dataset
        targets.check_dataset(found, name)
    results = pathlib.Path(settings.results).resolve()
    campaign = settings.campaign(name)
    jobs = campaign.jobs(found, results)
    console = rich.console.Console()
    if settings.dry_run:
        cells = [
            (target.name, spec.name)
            for target in found
            for spec in campaign.attacks
        ]
        console.print(progress.plan_table(jobs, cells, results))
        return
    examples = _load_examples(settings, dataset)
    if settings.executor == "ray":
        resources = executors.Resources(
            settings.ray_address, settings.ray_cpus, settings.ray_gpus
        )
        reports = executors.on_ray(jobs, examples, settings.xla, resources)
    else:
        reports = executors.in_process(jobs, examples, settings.xla)
    failures = progress.follow(jobs, reports, results, len(examples), console)
    if not jobs or len(failures) < len({job.target.name for job in jobs}):
        print(f"records in {settings.results}")
    if failures:
        raise ValueError(
            "; ".join(f"{name}: {why}" for name, why in failures.items())
        )


def main(argv: list[str]) -> None:
    if argv:
        raise ValueError(f"evaluate takes flags only, got {argv[0]!r}")
    settings = config.from_flags(EvaluateConfig)
    if settings.list_attacks:
        console = rich.console.Console()
        if not console.is_terminal:
            console.width = _WIDE
        for preset in PRESETS:
            console.print(attacks_table(preset))
        return
    if settings.executor != "ray":
        reason = "it is for --executor=ray"
        config.reject_flags(EvaluateConfig, reason, prefix="ray_")
    if settings.images:
        reason = "--images are attacked, and no data set"
        config.reject_flags(data.DataConfig, reason)
    reason = "the test images are attacked"
    config.reject_flags(data.DataConfig, reason, prefix="validation_")
    _sweep(settings, config.from_flags(data.DataConfig))


if __name__ == "__main__":
    config.define_flags(EvaluateConfig, data.DataConfig)
    entry.run(main, resumes=True)
