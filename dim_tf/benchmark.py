r"""Times this project's attacks beside foolbox's, and its own choices.

    python -m dim_tf.benchmark --model=saved_models/dim --num_examples=100
    python -m dim_tf.benchmark --subject=stack
    python -m dim_tf.benchmark --subject=inference --model=saved_models/dim
    python -m dim_tf.benchmark --subject=overhead --model=saved_models/dim
    python -m dim_tf.benchmark --subject=synthesis --num_examples=1 --rounds=20
    python -m dim_tf.benchmark --subject=service --model=saved_models/dim

`attacks`: every attack of the paper that foolbox can run on TensorFlow, ours
and foolbox's in turn, on the same test images. Rows go to the output file as
they come, and those that are there already are not made again. Pointwise, which
foolbox runs on NumPy alone, is raced by `--only=l0_pointwise_x10`.
`stack`: a training step of the ten autoencoders as one stack, as ten separate
Keras models, and as a loop over ten inside one compiled step.
`inference`: one image through the SavedModel, at the median.
`overhead`: what a sweep of the quick suite costs beside its attacks.
`synthesis`: test images classified together by DIM, by ABS, and by ABS with its
ten classes one after the other.
`service`: `:predict` of one image over HTTP, asked by one client and then by
many, with what it does to the server's memory.
"""

import dataclasses
import pathlib

import keras
import numpy as np
import rich.console
import rich.table
import tensorflow as tf

from dim_tf import circumstances
from dim_tf import config
from dim_tf import data
from dim_tf import entry
from dim_tf import models
from dim_tf.attacks import suite
from dim_tf.benchmarking import attacks
from dim_tf.benchmarking import files
from dim_tf.benchmarking import overhead
from dim_tf.benchmarking import rivals
from dim_tf.benchmarking import service
from dim_tf.benchmarking import stack
from dim_tf.benchmarking import synthesis
from dim_tf.benchmarking import timing
from dim_tf.evaluation import targets
from dim_tf.models import dim
from dim_tf.models import saving
from dim_tf.reporting import benchmarks
from dim_tf.reporting import formats

# What can be timed, and the settings that it depends on.
_SUBJECTS = {
    "attacks": "model num_examples only xla seconds_limit score_factor output",
    "stack": "batch_size rounds",
    "inference": "model rounds",
    "overhead": "model num_examples xla",
    "synthesis": "num_examples rounds",
    "service": "model clients load_seconds",
}


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """What to time."""

    subject: str = config.setting("attacks", "What to time.", choices=_SUBJECTS)
    model: str = config.setting(
        "dim",
        "Name or folder of the model; not for the stack and the synthesis.",
    )
    num_examples: int = config.setting(
        100, "Test images attacked at once, the first ones.", minimum=1
    )
    only: str = config.setting(
        "", "Comma-separated names of attacks; empty: all that are comparable."
    )
    xla: str = config.setting(
        "auto",
        "Compile our attacks with XLA; auto: on models known to suit it.",
        choices=("auto", "on", "off"),
    )
    seconds_limit: float = config.setting(
        5.0,
        "Repeat an attack until both sides together took this many seconds.",
        minimum=0,
    )
    score_factor: float = config.setting(
        1.0,
        "Multiplies the scores, which changes no decision of the model.",
        minimum=1e-6,
    )
    output: str = config.setting(
        "", "JSON file of rows; empty: results/benchmark/<model>.json."
    )
    batch_size: int = config.setting(
        128, "Images per training step, for the stack.", minimum=1
    )
    rounds: int = config.setting(
        200, "Timing rounds, of all but attacks.", minimum=1
    )
    clients: int = config.setting(
        32, "Concurrent clients of the service.", minimum=1
    )
    load_seconds: float = config.setting(
        10.0, "Seconds for which they ask it.", minimum=0.1
    )

    def __post_init__(self):
        config.validate(self)
        known = rivals.comparable() + rivals.ON_NUMPY
        unknown = set(self.attack_names) - set(known)
        if unknown:
            raise ValueError(
                f"--only={self.only}: {', '.join(sorted(unknown))} not among "
                f"{', '.join(known)}"
            )
        used = {"subject", *_SUBJECTS[self.subject].split()}
        for name, value in config.without_effect(self, used).items():
            raise ValueError(
                f"--{name}={value} has no effect on --subject={self.subject}, "
                "which depends on "
                f"{_SUBJECTS[self.subject].replace(' ', ', ')}"
            )

    @property
    def attack_names(self) -> tuple[str, ...]:
        names = tuple(config.listed(self.only))
        return names or rivals.comparable()


def attack_rows(
    settings: BenchmarkConfig, dataset: data.DataConfig
) -> list[dict]:
    """Fills the output file; returns all its rows."""
    folder = models.find(settings.model)
    card = saving.read_card(folder)
    output = pathlib.Path(
        settings.output or f"results/benchmark/{card['model']}.json"
    )
    if output.is_dir():
        raise ValueError(f"--output={output} is a folder; name a JSON file")
    examples = data.load(dataset, "test").take(slice(settings.num_examples))
    model = models.load_outputs(folder)
    factor = settings.score_factor
    if factor != 1:
        scores = keras.layers.Rescaling(factor)(model.output["scores"])
        model = keras.Model(model.input, {"scores": scores}, name=model.name)
    return files.fill(
        output,
        settings.attack_names,
        attacks.subject(model, examples),
        {
            "weights_digest": card["weights_digest"],
            "dataset": dataset.dataset,
            "score_factor": factor,
        },
        circumstances.here(),
        jit_compile=targets.jit_compile(settings.xla, model),
        seconds_limit=settings.seconds_limit,
    )


def inference_seconds(settings: BenchmarkConfig) -> dict[str, np.ndarray]:
    """Seconds of one image through the SavedModel's signature."""
    folder = models.find(settings.model)
    model = models.load_outputs(folder)
    version = saving.export(model, saving.read_card(folder), folder)
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    image = tf.zeros((1, 28, 28, 1))
    name = f"{version}, one image"
    return timing.interleaved(
        {name: lambda: signature(images=image)["label"].numpy()},
        settings.rounds,
    )


def _print_overhead(settings: BenchmarkConfig, dataset: data.DataConfig):
    examples = data.load(dataset, "test").take(slice(settings.num_examples))
    model = models.load_outputs(settings.model)
    quick = suite.PRESETS["quick"].values()
    jit_compile = targets.jit_compile(settings.xla, model)
    shares = overhead.shares(model, examples, quick, jit_compile=jit_compile)
    table = rich.table.Table("attack", "seconds", "overhead")
    for name, (seconds, share) in shares.items():
        table.add_row(name, f"{seconds:.2f}", f"{share:.1%}")
    total = sum(seconds for seconds, _ in shares.values())
    lost = sum(seconds * share for seconds, share in shares.values())
    table.add_row("together", f"{total:.2f}", f"{lost / total:.1%}")
    rich.console.Console().print(table)


def _print_loads(settings: BenchmarkConfig) -> None:
    folder = models.find(settings.model)
    card = saving.read_card(folder)
    saving.export(models.load_outputs(folder), card, folder)
    name = folder.name
    table = rich.table.Table(
        *("signature", "clients", "answers", "errors", "per s", "ratio"),
        *("median ms", "99 % ms", "MB"),
    )
    with service.serving(folder.parent, name) as port:
        for signature in ("serving_default", "scores"):
            loads = [
                service.load(
                    port, name, clients, settings.load_seconds, signature
                )
                for clients in (1, settings.clients, settings.clients)
            ]
            for each in loads:
                relative = each.throughput / loads[0].throughput
                table.add_row(signature, *_load_texts(each, relative))
    rich.console.Console().print(table)


def _load_texts(load: service.Load, relative: float) -> tuple[str, ...]:
    median, slow = np.quantile(load.latencies, (0.5, 0.99)) * 1e3
    return (
        *(f"{load.clients}", f"{len(load.latencies)}", f"{load.errors}"),
        *(f"{load.throughput:.0f}", f"{relative:.2f}"),
        *(f"{median:.1f}", f"{slow:.1f}", f"{load.megabytes:.0f}"),
    )


def _print_seconds(seconds: dict[str, np.ndarray]) -> None:
    table = rich.table.Table("what", "median ms", "/ first", "/ row above")
    first = above = next(iter(seconds.values()))
    for name, values in seconds.items():
        # The median of ratios within a round: a slow moment cancels out.
        ratios = [float(np.median(values / other)) for other in (first, above)]
        texts = [
            f"{np.median(values) * 1e3:.2f}",
            *(f"{r:.2f}" for r in ratios),
        ]
        table.add_row(name, *texts)
        above = values
    rich.console.Console().print(table)


def main(argv: list[str]) -> None:
    if argv:
        raise ValueError(f"benchmark takes flags only, got {argv[0]!r}")
    settings = config.from_flags(BenchmarkConfig)
    if settings.subject not in ("attacks", "overhead", "synthesis"):
        reason = f"--subject={settings.subject} looks at no data set"
        config.reject_flags(data.DataConfig, reason)
    if settings.subject != "stack":
        reason = "it is for --subject=stack"
        config.reject_flags(dim.DimConfig, reason)
    if settings.subject == "attacks":
        rows = attack_rows(settings, config.from_flags(data.DataConfig))
        print(formats.to_markdown(benchmarks.attacks_table(rows)), end="\n\n")
        for level, sentence in benchmarks.summary(rows):
            print(f"{level}: {sentence}")
    elif settings.subject == "stack":
        sizes = config.from_flags(dim.DimConfig)
        _print_seconds(
            stack.time_steps(sizes, settings.batch_size, settings.rounds)
        )
    elif settings.subject == "synthesis":
        dataset = config.from_flags(data.DataConfig)
        images = data.load(dataset, "test").images[: settings.num_examples]
        named = {name: models.load_outputs(name) for name in ("dim", "abs")}
        _print_seconds(synthesis.seconds(named, images, settings.rounds))
    elif settings.subject == "service":
        _print_loads(settings)
    elif settings.subject == "overhead":
        _print_overhead(settings, config.from_flags(data.DataConfig))
    else:
        _print_seconds(inference_seconds(settings))


if __name__ == "__main__":
    config.define_flags(BenchmarkConfig, data.DataConfig, dim.DimConfig)
    entry.run(main)
