"""Records are the same, whoever makes them and whoever dies meanwhile."""

import dataclasses
import io
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import rich.console

from dim_tf import data
from dim_tf.attacks.suite import EXTRA
from dim_tf.attacks.suite import PAPER
from dim_tf.evaluation import executors
from dim_tf.evaluation import planning
from dim_tf.evaluation import progress
from dim_tf.evaluation import results
from dim_tf.evaluation import sweep
from dim_tf.evaluation import targets

CLASSES = 4
COUNT = 24
SIDE = 6
ATTACKS = ("l2_bim", "linf_pgd", "l1_bim")


def write_model(path):
    inputs = keras.Input((SIDE, SIDE, 1))
    hidden = keras.layers.Dense(16, "relu")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES)(hidden))
    generator = np.random.default_rng(0)
    model.set_weights(
        [generator.normal(0, 0.4, w.shape) for w in model.get_weights()]
    )
    model.save(path)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A third-party model, images for it, and the records of a quiet run."""
    path = tmp_path_factory.mktemp("executors")
    model = write_model(path / "mine.keras")
    generator = np.random.default_rng(1)
    images = generator.uniform(size=(COUNT, SIDE, SIDE, 1)).astype(np.float32)
    labels = np.argmax(model(images), 1)
    np.savez(path / "images.npz", images=images, labels=labels)
    for _ in executors.in_process(jobs(path, "quiet"), examples(path), "off"):
        pass
    return path


def examples(folder):
    with np.load(folder / "images.npz") as arrays:
        return data.Examples(
            arrays["images"], arrays["labels"], np.arange(COUNT)
        )


def jobs(folder, name, size=4):
    target = targets.find(str(folder / "mine.keras"))
    cells = [
        planning.Cell(
            "mine", target.weights_digest, "x", "paper", PAPER[attack], 0
        )
        for attack in ATTACKS
    ]
    shards = planning.plan(folder / name, cells, COUNT, size)
    return [executors.Job(target, shard) for shard in shards]


def records(folder):
    table = results.read(folder).drop(list(results.COSTS))
    rows = table.sort_by([("attack", "ascending"), ("sample", "ascending")])
    return rows.to_pylist()


def test_a_model_that_fails_is_said_and_the_rest_goes_on(folder):
    (folder / "broken.keras").write_text("no model")
    broken = executors.Job(
        targets.find(str(folder / "broken.keras")),
        jobs(folder, "some")[0].shard,
    )
    good = jobs(folder, "some")[1]
    first, second = executors.in_process(
        [broken, good], examples(folder), "off"
    )
    assert "broken.keras is no Keras model" in first.failure
    assert np.isnan(first.clean_accuracy)
    assert not broken.shard.path.exists()
    assert (second.failure, second.clean_accuracy) == ("", 1.0)
    assert good.shard.path.exists()


def test_models_that_fail_are_said_before_others_are_attacked(folder):
    (folder / "broken.keras").write_text("no model")
    own = jobs(folder, "early")[:2]
    broken = executors.Job(
        targets.find(str(folder / "broken.keras")),
        jobs(folder, "never")[0].shard,
    )
    everything = [*own, broken]
    reports = list(executors.in_process(everything, examples(folder), "off"))
    assert [done.job for done in reports] == [broken, *own]
    console = rich.console.Console(file=io.StringIO(), width=900)
    failures = progress.follow(
        everything, iter(reports), folder, COUNT, console
    )
    assert list(failures) == ["broken"]
    first, second = console.file.getvalue().splitlines()
    assert first.startswith("broken cannot be attacked: ")
    assert second == "mine: clean accuracy 100.0% on 24 images"


def test_a_failure_without_words_is_one_too(folder):
    def load():
        raise MemoryError

    (job, *_) = jobs(folder, "wordless")
    job = dataclasses.replace(
        job, target=dataclasses.replace(job.target, load=load)
    )
    (done,) = executors.in_process([job], examples(folder), "off")
    assert done.failure == "MemoryError"


def test_an_attack_that_cannot_attack_a_model_is_left_out(folder):
    (first, *_) = jobs(folder, "unsuited")
    spec = EXTRA["l2_latent_descent"]
    cell = dataclasses.replace(first.shard.cell, spec=spec)
    path = folder / "unsuited" / "latent.parquet"
    shard = dataclasses.replace(first.shard, cell=cell, path=path)
    job = dataclasses.replace(first, shard=shard)
    (done,) = executors.in_process([job], examples(folder), "off")
    assert "needs a model that reconstructs its input" in done.unsuited
    assert (done.failure, done.clean_accuracy) == ("", 1.0)
    assert not path.exists()


def test_what_breaks_is_said(folder, monkeypatch):
    def breaks(*args, **kwargs):
        raise RuntimeError("no luck [today]")

    monkeypatch.setattr(sweep, "search", breaks)
    broken = jobs(folder, "broken")[:2]
    console = rich.console.Console(file=io.StringIO(), width=200)
    reports = executors.in_process(broken, examples(folder), "off")
    failures = progress.follow(broken, reports, folder, COUNT, console)
    assert not failures
    assert console.file.getvalue().splitlines() == [
        "mine: clean accuracy 100.0% on 24 images",
        "mine: l2_bim broke on 8 samples: RuntimeError: no luck [today]; "
        "without its files these are attacked again",
    ]


def test_a_notebook_without_widgets_gets_no_bar_and_no_warning(tmp_path):
    notebook = rich.console.Console(force_jupyter=True, file=io.StringIO())
    assert progress.follow([], iter([]), tmp_path, 0, notebook) == {}


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")  # whatever the tests run on
    return rich.console.Console(
        file=io.StringIO(), force_terminal=True, width=200, color_system=None
    )


def wait_for(text, terminal):
    end = time.monotonic() + 20
    while text not in terminal.file.getvalue():  # drawn ten times a second
        assert time.monotonic() < end, terminal.file.getvalue()
        time.sleep(0.01)


def test_a_terminal_is_told_what_comes_and_how_long_it_takes(folder, terminal):
    count = 10**5
    todo = [
        dataclasses.replace(
            job, shard=dataclasses.replace(job.shard, positions=range(count))
        )
        for job in jobs(folder, "told", COUNT)
    ]

    def expected(attack):
        costs = results.read(folder / "quiet" / "mine" / attack, ["seconds"])
        seconds = count * costs["seconds"].to_numpy().mean()
        return f"mine {attack}, about {seconds:.0f} s"

    def reports():
        # The last one is done before its turn.
        for likely, done in ((0, 0), (1, 2), (1, 1)):
            wait_for(expected(ATTACKS[likely]), terminal)
            yield executors.Done(todo[done], 1.0)

    progress.follow(todo, reports(), folder / "quiet", COUNT, terminal)
    *_, last, _ = terminal.file.getvalue().splitlines()
    assert f"{3 * count}/{3 * count}" in last
    assert "mine: clean accuracy 100.0% on 24 images" in (
        terminal.file.getvalue()
    )


def test_a_terminal_is_told_no_time_that_is_not_known(folder, terminal):
    (job, *_) = jobs(folder, "told", COUNT)
    reports = iter([executors.Done(job, 1.0)])
    progress.follow([job], reports, folder / "none", COUNT, terminal)
    shown = terminal.file.getvalue()
    assert "mine l2_bim" in shown
    assert "about" not in shown


def descendants(title):
    """Own processes of a title, such as Ray gives its workers."""
    parents, titled = {}, []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            # Parentheses around a name, which may have others in it.
            _, _, state = (path / "stat").read_text().rpartition(")")
            line = (path / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        parents[int(path.name)] = int(state.split()[1])
        if line.startswith(title):
            titled.append(int(path.name))
    return [each for each in titled if os.getpid() in ancestors(each, parents)]


def ancestors(process, parents):
    """Yields parent, grandparent and so on."""
    while process := parents.get(process):
        yield process


@pytest.mark.slow
def test_a_worker_of_ray_that_is_killed_loses_nothing(folder):
    pytest.importorskip("ray")
    todo = jobs(folder, "ray")
    reports = executors.on_ray(
        todo, examples(folder), "off", executors.Resources(cpus=1)
    )
    done = [next(reports)]
    workers = descendants(b"ray::Worker")
    os.kill(workers[0], signal.SIGKILL)
    done += reports
    paths = [report.job.shard.path for report in done]
    assert sorted(paths) == sorted(job.shard.path for job in todo)
    assert records(folder / "ray") == records(folder / "quiet")
    assert not jobs(folder, "ray")


def test_a_cluster_that_is_not_there_is_said_at_once(folder):
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        reports = executors.on_ray(
            jobs(folder, "dead"),
            examples(folder),
            "off",
            executors.Resources(address),
        )
        with pytest.raises(
            ConnectionError, match=f"no Ray cluster answers at {address}"
        ):
            next(reports)


@pytest.mark.slow
def test_a_ray_cluster_that_is_too_small_is_refused(folder):
    pytest.importorskip("ray")
    resources = executors.Resources(cpus=1, gpus=64)
    with pytest.raises(
        ValueError, match="no worker of 1 CPUs and 64 GPUs fits"
    ):
        next(
            executors.on_ray(
                jobs(folder, "none"), examples(folder), "off", resources
            )
        )


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on(folder):
    command = [
        *(sys.executable, "-m", "dim_tf.evaluate", "--suite=paper"),
        *(f"--models={folder}/mine.keras", f"--images={folder}/images.npz"),
        *(f"--only={','.join(ATTACKS)}", "--noprobes", "--xla=off"),
        *(f"--num_examples={COUNT}", "--shard_size=2"),
    ]

    def start(name):
        return subprocess.Popen(
            [*command, f"--results={folder}/{name}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def count(name):
        return len(list((folder / name).rglob("*.parquet")))

    assert start("whole").wait() == 0
    moments = random.Random(0)
    for _ in range(4):
        before = count("parts")
        process = start("parts")
        # One file more than there were, and a moment on top.
        while count("parts") <= before:
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.1))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert count("parts") < count("whole")
    assert start("parts").wait() == 0
    assert records(folder / "parts") == records(folder / "whole")
