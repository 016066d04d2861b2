import json
import math

import keras
import numpy as np
import pytest

from dim_tf import benchmark
from dim_tf import data
from dim_tf import models
from dim_tf.attacks import suite
from dim_tf.benchmarking import attacks
from dim_tf.benchmarking import files
from dim_tf.benchmarking import overhead
from dim_tf.benchmarking import rivals
from dim_tf.benchmarking import service
from dim_tf.benchmarking import strength
from dim_tf.reporting import benchmarks


def record(attack, batch_size, foolbox_seconds, native_seconds):
    return {
        "attack": attack,
        "batch_size": batch_size,
        "foolbox_seconds": foolbox_seconds,
        "native_seconds": native_seconds,
        # Of one image, the second call happens to be the slower one.
        "native_compile_seconds": 2.0 if batch_size == 100 else -1.0,
        "ratio": foolbox_seconds / native_seconds,
        "model_share": 0.5,
        "foolbox_robust_accuracy": 0.25,
        "native_robust_accuracy": 0.2,
        "foolbox_median_distance": math.inf,
        "native_median_distance": 1.5,
    }


def test_tables():
    records = [
        record("l2_pgd", 100, 8.0, 1.0),
        record("l2_bim", 100, 2.0, 1.0),
        record("l2_bim", 1, 3.0, 1.0),
    ]
    header, first, *_ = benchmarks.attacks_table(records)
    assert dict(zip(header, first, strict=True)) == {
        "attack": "`l2_pgd`",
        "images": "100",
        "foolbox s": "8",
        "ours s": "1",
        "compiling s": "2",
        "ratio": "8.0",
        "model's share": "50%",
        "foolbox robust": "25.0%",
        "ours robust": "20.0%",
        "foolbox median": "inf",
        "ours median": "1.5",
    }
    assert benchmarks.summary(records) == [
        (
            "note",
            "Together 3.0 times as fast as foolbox's, or 3.0 times with the "
            "0 s in which each of ours is compiled, once: 1 attacks on 1 "
            "images, 3.0 times in the geometric mean, 3.0 times at least "
            "(l2_bim).",
        ),
        (
            "note",
            "Together 5.0 times as fast as foolbox's, or 1.7 times with the "
            "4 s in which each of ours is compiled, once: 2 attacks on 100 "
            "images, 4.0 times in the geometric mean, 2.0 times at least "
            "(l2_bim).",
        ),
    ]


@pytest.mark.parametrize(
    ("robust", "median", "foolbox_spread", "native_spread", "expected"),
    [
        (0.26, 1.515, [], [], False),
        (0.27, 1.5, [], [], True),
        (0.25, 1.52, [], [], True),
        (0.25, math.inf, [], [], True),
        (0.29, 1.6, [[0.2, 1.4], [0.28, 1.59]], [], False),
        (0.30, 1.6, [[0.2, 1.4], [0.28, 1.59]], [], True),
        (0.3, 9.0, [[0.2, 1.4]], [[0.26, 1.5], [0.26, 1.5]], False),
        (0.2, 1.4, [[0.2, 1.4]], [[0.25, 1.6], [0.25, 1.6]], True),
    ],
)
def test_weaker_than_foolbox_by_more_than_chance(
    robust, median, foolbox_spread, native_spread, expected
):
    row = record("l2_pgd", 100, 8.0, 1.0) | {
        "foolbox_robust_accuracy": 0.25,
        "foolbox_median_distance": 1.5,
        "native_robust_accuracy": robust,
        "native_median_distance": median,
        "foolbox_spread": foolbox_spread,
        "native_spread": native_spread,
    }
    assert strength.weaker(row) == expected
    notes = benchmarks.summary([row])
    assert [level for level, _ in notes] == ["note"] + ["alarm"] * expected


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "rows.json"
    for text in ("no json", "[{}]", "3"):
        path.write_text(text)
        with pytest.raises(ValueError, match="rows.json is no file of"):
            benchmarks.read(path)


# foolbox's Brendel-Bethge attacks say so when they are made.
@pytest.mark.filterwarnings("ignore:At the first initialisation:UserWarning")
def test_every_comparable_attack_has_its_rival():
    names = rivals.comparable()
    assert len(names) == 36
    assert rivals.SETTINGS.keys() <= set(names)
    assert rivals.LARGE_BATCH_SETTINGS.keys() <= set(names)
    for name in (*names, *rivals.ON_NUMPY):
        native = suite.PAPER[name].attack
        stock = rivals.stock(native)
        assert type(stock).__name__ == type(native).__name__


def test_a_large_batch_takes_fewer_steps_of_what_is_long():
    hundred, thousand = (
        rivals.native("l2_carlini_wagner", size) for size in (100, 1000)
    )
    assert (hundred.binary_search_steps, hundred.steps) == (6, 300)
    assert (thousand.binary_search_steps, thousand.steps) == (2, 30)
    assert not thousand.abort_early
    assert rivals.native("l2_bim", 1000) == rivals.native("l2_bim", 1)


@pytest.fixture
def subject(saved_models, generator):
    model = models.load_outputs("dim")
    images = generator.uniform(size=(4, *data.IMAGE_SHAPE)).astype(np.float32)
    labels = np.argmax(model(images)["scores"], 1).astype(np.int64)
    return attacks.subject(model, data.Examples(images, labels, np.arange(4)))


def test_what_is_left_out_stands_and_misclassified_is_at_zero(monkeypatch):
    """Class 1 is that of what is bright on the whole."""
    pixels = keras.Input(data.IMAGE_SHAPE)
    mean = keras.ops.mean(pixels, (1, 2))
    scores = keras.ops.concatenate([0.5 - mean, mean - 0.5], 1)
    images = np.ones((4, *data.IMAGE_SHAPE), np.float32)
    images *= np.reshape([0.1, 0.9, 0.3, 0.2], (4, 1, 1, 1))
    examples = data.Examples(images, np.array([0, 0, 0, 0]), np.arange(4))
    found = attacks.subject(keras.Model(pixels, {"scores": scores}), examples)
    np.testing.assert_array_equal(found.positions, [0, 2, 3])
    match = attacks._Match("linf_bim", found, jit_compile=False)
    monkeypatch.setattr(match, "inputs", lambda seed: (np.array([2, 3]), {}))
    answers = [np.full_like(images[2:], gray) for gray in (0.55, 0.6, 0.45)]
    # Distances infinite, 0, 0.25 and 0.35.
    robust, median = match.judged(answers)
    assert robust == 0.5
    assert median == pytest.approx(0.3)


@pytest.mark.parametrize("name", ["l2_carlini_wagner", "l1_ead"])
def test_foolbox_s_black_answers_are_failures(name, generator, monkeypatch):
    short = {"binary_search_steps": 1, "steps": 1}
    monkeypatch.setitem(rivals.SETTINGS, name, short)
    pixels = keras.Input(data.IMAGE_SHAPE)
    dense = keras.layers.Dense(2)
    model = keras.Model(
        pixels, {"scores": dense(keras.layers.Flatten()(pixels))}
    )
    dense.set_weights([np.repeat([[0, 1]], 784, 0), np.array([100, 0])])
    # Bright images, in class 1; what is black is in class 0.
    images = generator.uniform(size=(2, *data.IMAGE_SHAPE)).astype(np.float32)
    examples = data.Examples(images, np.array([1, 1]), np.arange(2))
    row = attacks.compare(
        name,
        attacks.subject(model, examples),
        jit_compile=False,
        seconds_limit=0,
    )
    assert row["num_attacked"] == 2
    assert row["foolbox_robust_accuracy"] == 1
    assert row["foolbox_median_distance"] == math.inf


def test_overhead_is_what_no_record_has(subject):
    specs = [suite.PAPER["l2_bim"], suite.PAPER["l2_inversion"]]
    found = overhead.shares(
        subject.model, subject.examples, specs, jit_compile=False
    )
    assert list(found) == ["l2_bim", "l2_inversion"]
    for seconds, share in found.values():
        assert seconds > 0
        assert 0 < share < 1


def test_rows_are_kept_and_not_made_again(subject, tmp_path, monkeypatch):
    output = tmp_path / "results" / "dim.json"

    def fill(names, digest="a", dataset="mnist"):
        return files.fill(
            output,
            names,
            subject,
            {"weights_digest": digest, "dataset": dataset},
            {"python": "3"},
            jit_compile=False,
            seconds_limit=0.0,
        )

    elsewhere = {"attack": "l2_ddn", "weights_digest": "a", "batch_size": 9}
    compare = attacks.compare

    def compare_while_another_adds_a_row(*arguments, **keywords):
        if not output.is_file():
            output.parent.mkdir()
            output.write_text(json.dumps([elsewhere]))
        return compare(*arguments, **keywords)

    monkeypatch.setattr(attacks, "compare", compare_while_another_adds_a_row)
    other, row = fill(["l2_fgm"])
    assert other == elsewhere
    assert row["batch_size"] == row["num_attacked"] == 4
    # One gradient of each image, and a look at it for every epsilon tried.
    assert row["backwards"] == 4
    assert row["foolbox_robust_accuracy"] == row["native_robust_accuracy"]
    assert row["native_median_distance"] == pytest.approx(
        row["foolbox_median_distance"], rel=1e-3
    )
    assert row["ratio"] > 0
    assert (row["dataset"], row["jit_compile"]) == ("mnist", False)
    assert row["python"] == "3"
    _, first, second = fill(["l2_fgm", "l2_add_gauss"])
    assert first == row
    assert second["attack"] == "l2_add_gauss"
    assert json.loads(output.read_text()) == [elsewhere, first, second]
    with pytest.raises(ValueError, match="rows of weights_digest=a, not of b"):
        fill(["l2_bim"], digest="b")
    with pytest.raises(ValueError, match="of dataset=mnist, not of kmnist"):
        fill([], dataset="kmnist")
    monkeypatch.setitem(rivals.SETTINGS, "l2_fgm", {"random_start": True})
    with pytest.raises(
        ValueError, match="l2_fgm on 4 images as .*random_start=F"
    ):
        fill(["l2_bim"])


@pytest.fixture
def race(saved_models, generator, monkeypatch):
    """Function that gives what would be raced, on images of given labels."""
    plain = models.load_outputs("dim")
    images = generator.uniform(size=(9, *data.IMAGE_SHAPE)).astype(np.float32)
    scores = plain(images)["scores"].numpy()

    def race(shift=0, **settings):
        labels = (scores.argmax(1) + shift) % data.NUM_CLASSES
        examples = data.Examples(images, labels, np.arange(9))
        given = {}

        def fill(output, names, subject, of, *made_with, **keywords):
            given.update(keywords, subject=subject, of=of)
            return []

        monkeypatch.setattr(data, "load", lambda dataset, split: examples)
        monkeypatch.setattr(files, "fill", fill)
        benchmark.attack_rows(
            benchmark.BenchmarkConfig(num_examples=2, **settings),
            data.DataConfig(),
        )
        return given, images, scores

    return race


@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_scores_are_raced_by_a_factor(factor, race):
    given, images, scores = race(score_factor=factor, seconds_limit=0.0)
    subject = given["subject"]
    np.testing.assert_array_equal(subject.examples.images, images[:2])
    found = subject.model(images)["scores"] / factor
    np.testing.assert_allclose(found, scores, 1e-4, 1e-5)
    assert given["of"]["score_factor"] == factor
    assert given["seconds_limit"] == 0
    with pytest.raises(ValueError, match="^dim misclassifies all of 2 images"):
        race(score_factor=factor, shift=1)


def test_service_under_load(exported):
    folder, _ = exported
    with service.serving(folder, "dim") as port:
        alone, many = (service.load(port, "dim", n, 1.0) for n in (1, 8))
        unknown = service.load(port, "nothing", 1, 0.2)
    for found in (alone, many):
        assert found.errors == 0
        assert len(found.latencies) >= found.clients
        assert 0 < found.latencies.min()
        assert found.latencies.max() <= found.seconds
        assert found.throughput == len(found.latencies) / found.seconds
        assert found.megabytes > 50
    assert unknown.errors > 0
    assert not len(unknown.latencies)
    with pytest.raises(ConnectionRefusedError):
        service.load(port, "dim", 1, 0.1)


def test_a_service_that_does_not_start_is_an_error(tmp_path):
    with pytest.raises(ConnectionError, match="did not start"):
        with service.serving(tmp_path, "dim"):
            pass


@pytest.mark.parametrize(
    ("subject", "setting"),
    [
        ("attacks", "clients"),
        ("stack", "num_examples"),
        ("inference", "batch_size"),
        ("overhead", "rounds"),
        ("synthesis", "batch_size"),
        ("service", "rounds"),
    ],
)
def test_settings_that_a_subject_does_not_look_at_are_refused(subject, setting):
    benchmark.BenchmarkConfig(subject=subject)
    with pytest.raises(ValueError, match=f"{setting}=7 has no effect on --sub"):
        benchmark.BenchmarkConfig(subject=subject, **{setting: 7})


def test_a_file_that_is_no_benchmark_s_is_named(tmp_path):
    for text in ("[", '{"a": 1}'):
        path = tmp_path / "rows.json"
        path.write_text(text)
        with pytest.raises(ValueError, match="rows.json is damaged, or no fi"):
            files.fill(
                path, (), None, {}, {}, jit_compile=False, seconds_limit=0
            )
