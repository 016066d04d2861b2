"""How far a sweep is, and what is left of it."""

import importlib.util
import pathlib
from collections.abc import Iterable
from collections.abc import Iterator

import rich.console
import rich.progress
import rich.table

from dim_tf.evaluation import planning
from dim_tf.evaluation.executors import Done
from dim_tf.evaluation.executors import Job


def follow(
    jobs: list[Job],
    reports: Iterator[Done],
    results: pathlib.Path,
    num_examples: int,
    console: rich.console.Console,
) -> dict[str, str]:
    """Takes reports as they come and shows progress, where somebody looks.

    Args:
        jobs: all of them, in about the order in which they are done.
        reports: one for every job, in any order.
        results: folder of the records, which tell how long things take.
        num_examples: that clean accuracies are of.
        console: to show it on.

    Returns:
        Why models could not be attacked, by name.
    """
    failures: dict[str, str] = {}
    broken: dict[str, list[str]] = {}
    said = set()

    def say(text):
        if text not in said:
            said.add(text)
            console.print(text, markup=False)

    with rich.progress.Progress(
        *rich.progress.Progress.get_default_columns(),
        rich.progress.MofNCompleteColumn(),
        console=console,
        disable=not _draws(console),
    ) as bar:
        total = sum(len(job.shard.positions) for job in jobs)
        task = bar.add_task("", total=total)
        waiting = {job.shard.path: job for job in jobs}
        while waiting:
            # The first one that is left: reports may have an order of their
            # own.
            if not bar.disable:
                likely = next(iter(waiting.values()))
                bar.update(task, description=_expectation(likely, results))
            done = next(reports)
            del waiting[done.job.shard.path]
            bar.advance(task, len(done.job.shard.positions))
            name = done.job.target.name
            attack = f"{name}: {done.job.shard.cell.spec.name}"
            if done.failure:
                failures[name] = done.failure
                say(f"{name} cannot be attacked: {done.failure}")
                continue
            say(
                f"{name}: clean accuracy {done.clean_accuracy:.1%} on "
                f"{num_examples} images"
            )
            if done.unsuited:
                say(f"{attack} is left out: {done.unsuited}")
            broken.setdefault(attack, []).extend(done.broken)
    for attack, reasons in broken.items():
        if reasons:
            say(
                f"{attack} broke on {len(reasons)} samples: {reasons[0]}; "
                "without its files these are attacked again"
            )
    return failures


def _draws(console: rich.console.Console) -> bool:
    """Whether a bar can be drawn; in notebooks it takes a package."""
    widgets = importlib.util.find_spec("ipywidgets") is not None
    return console.is_terminal or (console.is_jupyter and widgets)


def _expectation(job: Job, results: pathlib.Path) -> str:
    """What is being done, and how long it should take."""
    cell = job.shard.cell
    speed = planning.seconds_per_sample(results, cell.model, cell.spec.name)
    text = f"{cell.model} {cell.spec.name}"
    if speed is not None:
        text += f", about {speed * len(job.shard.positions):.0f} s"
    return text


def plan_table(
    jobs: list[Job],
    cells: Iterable[tuple[str, str]],
    results: pathlib.Path,
) -> rich.table.Table:
    """What is to do, cell by cell.

    Args:
        jobs: those that are not done.
        cells: models and attacks to list even where nothing is to do.
        results: folder of the records.
    """
    table = rich.table.Table(
        "model", "attack", "samples to do", "files", "minutes left"
    )
    sizes: dict[tuple[str, str], list[int]] = {cell: [] for cell in cells}
    for job in jobs:
        cell = job.target.name, job.shard.cell.spec.name
        sizes.setdefault(cell, []).append(len(job.shard.positions))
    for (model, attack), own in sizes.items():
        speed = planning.seconds_per_sample(results, model, attack)
        # Known only from samples that are done.
        left = "?" if speed is None else f"{speed * sum(own) / 60:.1f}"
        table.add_row(model, attack, str(sum(own)), str(len(own)), left)
    return table
