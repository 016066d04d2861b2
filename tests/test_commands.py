"""The commands as a user runs them: output, exit codes, one-line errors."""

import json
import pathlib
import re
import subprocess
import sys

import forked
import keras
import numpy as np
import PIL.Image
import pytest
from tensorboard.backend.event_processing import event_accumulator

from dim_tf import digits
from dim_tf import metrics
from dim_tf import models
from dim_tf import release
from dim_tf.evaluation import results

SMALL = [
    "--denoiser_units=16",
    "--internal_units=8",
    "--denoiser_epochs=1",
    "--internal_epochs=1",
    "--noxla",
    "--first_look=2",
]
# Images of the digits from 0 to 9, and one of a 7.
EXAMPLES = ("digits.npy", "seven.jpg")
PREDICTION = re.compile(r"(.*): (\d) \(score (.*); next is (\d) with (.*)\)")


def run_anew(command, *arguments):
    """Runs a command in an interpreter that has imported nothing yet."""
    return subprocess.run(
        [sys.executable, "-m", f"dim_tf.{command}", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=forked.ROOT,
        timeout=300,
    )


@pytest.fixture(scope="module")
def run():
    """Function that runs a command; returns the finished process."""
    with forked.commands() as run:
        yield run


def error_of(process):
    """The one line that a failed command printed."""
    assert process.returncode != 0
    # TensorFlow tells of the machine before its logging can be told not to.
    lines = [
        line
        for line in process.stderr.strip().splitlines()
        if not re.match(r"[IWE]\d{4} |WARNING: All log messages", line)
    ]
    assert len(lines) == 1, process.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture(scope="module")
def trained(tiny_mnist, tmp_path_factory):
    """Folder with `runs/` and `saved_models/` that the train command wrote."""
    folder = tmp_path_factory.mktemp("trained")
    process = run_anew(
        "train",
        "--flagfile=flags/dim.cfg",
        *SMALL,
        f"--data_dir={tiny_mnist.data_dir}",
        f"--validation_size={tiny_mnist.validation_size}",
        f"--run_dir={folder}/runs/dim",
        f"--saved_models={folder}/saved_models",
    )
    assert process.returncode == 0, process.stderr
    assert "dim: clean accuracy" in process.stdout
    assert "bi_dim: clean accuracy" in process.stdout
    return folder


def test_train_leaves_what_the_readme_promises(trained):
    files = {
        str(path.relative_to(trained))
        for path in trained.rglob("*")
        if path.is_file()
    }
    assert {
        "saved_models/dim/model.keras",
        "saved_models/dim/card.json",
        "saved_models/dim/1/saved_model.pb",
        "saved_models/bi_dim/card.json",
        "saved_models/bi_dim/1/saved_model.pb",
        "runs/dim/stages.png",
        "runs/dim/projector_config.pbtxt",
    } <= files
    assert "saved_models/bi_dim/model.keras" not in files
    assert not any("/." in file for file in files)


def test_card_says_how_the_model_was_made(trained):
    card = json.loads((trained / "saved_models/bi_dim/card.json").read_text())
    assert card["parent"] == "dim"
    assert card["settings"]["recipe"]["denoiser_epochs"] == 1
    assert card["settings"]["seed"] == 0
    assert 0 <= card["clean_accuracy"] <= 1
    assert card["num_test_images"] == 200
    assert card["training_seconds"] > 0
    assert card["versions"].keys() >= {"tensorflow", "keras", "python"}
    assert card["robust_accuracy_upper_bounds"].keys() >= {"l2_1.5"}


def test_predict_reads_files_and_draws(run, trained, tmp_path):
    stroke = np.full((60, 40, 3), 255, np.uint8)
    stroke[10:50, 18:23] = 0
    PIL.Image.fromarray(stroke).save(tmp_path / "stroke.png")
    np.save(tmp_path / "several.npy", np.stack([255 - stroke[..., 0]] * 2))
    process = run(
        "predict",
        f"--model={trained}/saved_models/bi_dim",
        f"--picture={tmp_path}/out.png",
        tmp_path / "stroke.png",
        tmp_path / "several.npy",
    )
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert len(lines) == 4
    predictions = {line.partition(": ")[2] for line in lines[:3]}
    assert len(predictions) == 1  # the same stroke in both polarities
    with PIL.Image.open(tmp_path / "out.png") as picture:
        assert picture.width > 10 * 28


def test_predict_says_which_digits_there_are(run):
    paths = [forked.ROOT / "examples" / name for name in EXAMPLES]
    process = run("predict", "--model=dim", *paths)
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    said = [PREDICTION.fullmatch(line).groups() for line in lines]
    names = [f"{paths[0]}[{index}]" for index in range(10)]
    assert [row[0] for row in said] == [*names, str(paths[1])]
    first, second = (np.array([int(row[at]) for row in said]) for at in (1, 3))
    np.testing.assert_array_equal(first, [*range(10), 7])
    images = np.concatenate([digits.read(path) for path in paths])
    scores = metrics.outputs(models.load_outputs("dim"), images, "scores")
    largest = np.sort(scores, 1)[:, ::-1]
    rows = np.arange(len(said))
    for place, (named, at) in enumerate([(first, 2), (second, 4)]):
        printed = [float(row[at]) for row in said]
        np.testing.assert_allclose(printed, largest[:, place], 0, 6e-4)
        # Of classes that are level, any may be named.
        np.testing.assert_allclose(scores[rows, named], printed, 0, 6e-4)
    assert (first != second).all()


def test_export_reuses_versions_and_restores_runs(run, trained, tiny_mnist):
    folder = trained / "saved_models"
    process = run("export", "--model=all", f"--saved_models={folder}")
    assert process.returncode == 0, process.stderr
    assert f"{folder}/dim/1" in process.stdout
    before = (folder / "dim" / "card.json").read_text()
    (folder / "dim" / "model.onnx").touch()
    # Where and how is known from the training.
    process = run(
        "export",
        f"--run_dir={trained}/runs/dim",
        f"--data_dir={tiny_mnist.data_dir}",
    )
    assert process.returncode == 0, process.stderr
    assert json.loads(before) == json.loads(
        (folder / "dim" / "card.json").read_text()
    )
    first, second = process.stdout.splitlines()
    assert "model.onnx is of the training before, `python -m dim_tf" in first
    assert "model.onnx" not in second


def test_where_a_model_goes_is_remembered_unless_it_is_the_default(tmp_path):
    """A run may be moved to another clone, which has another default."""
    default = release.ReleaseConfig(first_look=7)
    release.remember(default, tmp_path)
    assert release.remembered(tmp_path) == {
        "test_set": True,
        "validation_images": 5_000,
        "first_look": 7,
    }
    elsewhere = release.ReleaseConfig(saved_models="build/x")
    release.remember(elsewhere, tmp_path)
    folder = release.remembered(tmp_path)["saved_models"]
    assert folder == str(pathlib.Path("build/x").resolve())


def test_a_choice_is_made_without_test_images(
    run, trained, tiny_mnist, tmp_path
):
    process = run(
        "export",
        f"--run_dir={trained}/runs/dim",
        *("--notest_set", "--first_look=0", f"--saved_models={tmp_path}"),
        f"--data_dir={tiny_mnist.data_dir}",
    )
    assert process.returncode == 0, process.stderr
    for name in ("dim", "bi_dim"):
        card = json.loads((tmp_path / name / "card.json").read_text())
        assert card["clean_accuracy"] is card["num_test_images"] is None
        assert card["num_validation_images"] == tiny_mnist.validation_size
        assert card["num_first_look_images"] == 0
        assert card["robust_accuracy_upper_bounds"] == {}
        share = f"{card['validation_accuracy']:.2%}"
        line = f"{name}: clean accuracy {share} on validation images; "
        assert line in process.stdout


@pytest.mark.parametrize("content", [b"", b"no image"], ids=["empty", "text"])
def test_predict_refuses_what_is_no_image(run, trained, tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    model = f"--model={trained}/saved_models/dim"
    process = run("predict", model, tmp_path / "bad.png")
    assert "bad.png is not a readable" in error_of(process)


def test_help_names_the_flags(run):
    process = run("train", "--help")
    assert "--denoiser_noise" in process.stdout
    assert "--saved_models" in process.stdout


def test_tensorboard_has_curves_and_pictures(trained):
    accumulator = event_accumulator.EventAccumulator(str(trained / "runs/dim"))
    accumulator.Reload()
    tags = {
        tag
        for tags in accumulator.Tags().values()
        if isinstance(tags, list)
        for tag in tags
    }
    assert {
        "denoiser/loss",
        "denoiser/learning_rate",
        "denoiser/clean_noisy_denoised",
        "internal_models/validation/accuracy",
        "internal_models/margin/class_0",
        "internal_models/image_denoised_reconstructions",
        "_hparams_/session_start_info",
    } <= tags


def test_benchmarks_print_their_rows(run, trained):
    process = run(
        "benchmark", "--subject=stack", "--rounds=1", "--internal_units=2"
    )
    assert "ten models in one compiled step" in process.stdout, process.stderr
    model = f"--model={trained}/saved_models/dim"
    process = run("benchmark", "--subject=inference", "--rounds=3", model)
    assert "one image" in process.stdout, process.stderr


def test_a_race_is_of_what_the_flags_say(run, trained, tiny_mnist, tmp_path):
    output = tmp_path / "rows.json"
    process = run(
        "benchmark",
        f"--model={trained}/saved_models/dim",
        *("--only=l2_fgm", "--num_examples=60", "--seconds_limit=0"),
        *("--score_factor=100", f"--output={output}"),
        f"--data_dir={tiny_mnist.data_dir}",
    )
    assert process.returncode == 0, process.stderr
    assert "| `l2_fgm` | 60 | " in process.stdout
    assert "note: Together " in process.stdout
    (row,) = json.loads(output.read_text())
    assert (row["attack"], row["batch_size"]) == ("l2_fgm", 60)
    assert (row["score_factor"], row["dataset"]) == (100, "mnist")
    card = json.loads((trained / "saved_models/dim/card.json").read_text())
    assert row["weights_digest"] == card["weights_digest"]


def test_a_full_disk_leaves_what_was_there(trained, tiny_mnist):
    folder = trained / "saved_models" / "dim"
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    command = (
        f"ulimit -f 8 && {sys.executable} -m dim_tf.export --first_look=0 "
        f"--run_dir={trained}/runs/dim --saved_models={trained}/saved_models "
        f"--data_dir={tiny_mnist.data_dir}"
    )
    process = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=forked.ROOT
    )
    assert process.returncode != 0
    assert "File too large" in process.stderr
    after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert after == before


def test_a_run_of_another_recipe_is_refused(run, trained, tiny_mnist):
    process = run(
        "train",
        *SMALL,
        "--seed=1",
        f"--data_dir={tiny_mnist.data_dir}",
        f"--validation_size={tiny_mnist.validation_size}",
        f"--run_dir={trained}/runs/dim",
    )
    assert "seed=0 there, 1 here" in error_of(process)


def test_evaluate_goes_on_where_it_was_and_report_prints_it(
    run, trained, tiny_mnist, tmp_path
):
    command = (
        "evaluate",
        f"--models={trained}/saved_models/dim",
        "--suite=quick",
        "--only=linf_bim,l1_fmn",
        "--num_examples=12",
        "--shard_size=8",
        f"--results={tmp_path}",
        f"--data_dir={tiny_mnist.data_dir}",
        "--xla=off",
    )

    def files():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}

    planned = run(*command, "--dry_run")
    assert planned.returncode == 0, planned.stderr
    assert "linf_bim" in planned.stdout
    assert not files()
    # Two machines share the work.
    assert run(*command, "--shard_count=2").returncode == 0
    first = files()
    # Two attacks, and three probes of one of them.
    names = 3 * ["00000-00007.parquet"] + 2 * ["00008-00011.parquet"]
    assert sorted(path.name for path in first) == names
    finished = run(*command)
    assert finished.returncode == 0, finished.stderr
    assert len(files()) == 10
    assert files().items() >= first.items()
    report = run_anew("report", f"--results={tmp_path}")
    assert report.returncode == 0, report.stderr
    assert "tensorflow" not in report.stderr
    table = dict(
        line.strip("| ").split(" | ")
        for line in report.stdout.splitlines()[2:]
        if line.startswith("|")
    )
    assert table["samples"] == "12"
    assert "linf_bim on dim with twice the steps" in report.stdout
    page = tmp_path / "page.html"
    made = run_anew("report", f"--results={tmp_path}", f"--output={page}")
    assert made.returncode == 0, made.stderr
    assert "<svg" in page.read_text()
    assert "Made with" in page.read_text()
    wrong = run_anew("report", f"--results={tmp_path}", "--output=page.pdf")
    assert "ends with one of .md, .csv" in error_of(wrong)
    assert "%" in table["`l1_fmn`"]


def test_evaluate_attacks_models_of_others(run, tmp_path):
    inputs = keras.Input((8, 6, 3))
    hidden = keras.layers.Conv2D(4, 3)(inputs / 255.0)
    scores = keras.layers.Dense(3)(keras.layers.Flatten()(hidden))
    model = keras.Model(inputs, scores)
    model.save(tmp_path / "mine.keras")
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 6, 3), np.uint8)
    labels = np.argmax(model(images.astype(np.float32)), 1)
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    process = run(
        "evaluate",
        f"--models={tmp_path}/mine.keras",
        "--bounds=0..255",
        f"--images={tmp_path}/mine.npz",
        "--suite=quick",
        "--only=linf_bim,l0_pointwise",
        "--thresholds=linf:0.0001",
        "--num_examples=9",
        f"--results={tmp_path}/results",
    )
    assert process.returncode == 0, process.stderr
    assert "mine: clean accuracy 100.0% on 9 images" in process.stdout
    records = results.read(tmp_path / "results").to_pylist()
    assert {record["model"] for record in records} == {"mine"}
    # Two attacks, and three probes of one of them.
    assert all(
        record["status"] == "success"
        for record in records
        # Not within the threshold alone.
        if not record["attack"].endswith(results.THRESHOLD_ALONE)
    )
    assert len(records) == 5 * 9
    wrong = run(
        "evaluate",
        f"--models={tmp_path}/mine.keras",
        f"--images={tmp_path}/none.npz",
    )
    assert "none.npz" in error_of(wrong)
