import dataclasses
import gzip
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from dim_tf import attacks
from dim_tf import data
from dim_tf import metrics
from dim_tf.attacks.adaptor import frozen
from dim_tf.attacks.minimization import Minimization
from dim_tf.attacks.spec import AttackSpec
from dim_tf.evaluation import gradients
from dim_tf.evaluation import planning
from dim_tf.evaluation import results
from dim_tf.evaluation import sweep
from dim_tf.models import saving

ROOT = pathlib.Path(__file__).resolve().parents[1]
CLASSES = 10
COUNT = 30
BREAKS = 0.123


@frozen
class Fragile(Minimization):
    """Inverts images, and breaks on a batch with one of a certain corner."""

    norm: str = "l2"

    def solve(self, samples, epsilons):
        if np.isclose(samples.rows["images"][:, 0], BREAKS).any():
            raise RuntimeError("this image broke me")
        return super().solve(samples, epsilons)

    def start(self, problem, rows):
        return {
            "result": 1.0 - problem.images,
            "active": tf.zeros((problem.batch,), tf.bool),
        }


def linear_subject():
    """A linear model and images of all classes, one of them misclassified."""
    generator = np.random.default_rng(0)
    inputs = keras.Input(data.IMAGE_SHAPE)
    scores = keras.layers.Dense(CLASSES, use_bias=False)(
        keras.layers.Flatten()(inputs)
    )
    model = keras.Model(inputs, {"scores": scores})
    weights = generator.normal(0, 0.1, (784, CLASSES)).astype(np.float32)
    model.set_weights([weights])
    images = generator.uniform(0.2, 0.8, (COUNT, *data.IMAGE_SHAPE))
    images = images.astype(np.float32)
    images[7, 0, 0, 0] = BREAKS
    labels = np.argmax(images.reshape(COUNT, -1) @ weights, 1)
    labels[3] = (labels[3] + 1) % CLASSES
    return sweep.Subject(model, data.Examples(images, labels, np.arange(COUNT)))


@pytest.fixture(scope="module")
def subject():
    return linear_subject()


def cell(attack, name="an_attack", **changes):
    spec = AttackSpec(name, "gradients", attack)
    return dataclasses.replace(
        planning.Cell("toy", "digest", "toys", "quick", spec, 0), **changes
    )


BIM = cell(attacks.L2BasicIterativeAttack(), "l2_bim")
DDN = cell(attacks.DDNAttack(steps=20), "l2_ddn")


def run(folder, subject, cells=(BIM, DDN), count=COUNT, size=10):
    shards = planning.plan(folder, cells, count, size)
    for shard in shards:
        sweep.run_shard(shard, subject, jit_compile=False)
    return shards


def records(folder):
    """All records but for their costs, by model, attack and sample."""
    rows = results.read(folder).drop(list(results.COSTS)).to_pylist()
    return {(row["attack"], row["sample"]): row for row in rows}


def same(first, second):
    """Whether records are equal, up to the rounding of a batch's size."""
    assert first.keys() == second.keys()
    for key, row in first.items():
        for name, value in row.items():
            if isinstance(value, float | list):
                np.testing.assert_allclose(second[key][name], value, 1e-5, 1e-5)
            else:
                assert second[key][name] == value


def test_every_beginning_has_all_classes_alike():
    labels = np.array([0, 0, 0, 1, 1, 2, 0, 2])
    order = planning.stratified(labels)
    np.testing.assert_array_equal(labels[order], [0, 1, 2, 0, 1, 2, 0, 0])
    np.testing.assert_array_equal(order, [0, 3, 5, 1, 4, 7, 2, 6])


def test_a_record_says_what_it_is_of(subject):
    columns = sweep.records(
        BIM, subject.model, subject.examples, jit_compile=False
    )
    status = columns["status"]
    assert status[3] == "misclassified"
    assert (np.delete(status, 3) == "success").all()
    assert columns["distance_l2"][3] == columns["distance_l0"][3] == 0
    assert columns["adversarial"][3] is None
    clean = subject.examples.images.reshape(COUNT, -1)
    for row in np.delete(np.arange(COUNT), 3):
        found = columns["adversarial"][row]
        change = np.float64(found) - np.float64(clean[row])
        assert columns["distance_l2"][row] == np.linalg.norm(change)
        assert columns["distance_linf"][row] == abs(change).max()
        assert columns["distance_l2"][row] <= columns["epsilon"][row] * 1.0001
        scores = subject.model(found.reshape(1, *data.IMAGE_SHAPE))["scores"]
        assert np.argmax(scores) == columns["adversarial_prediction"][row]
        assert np.argmax(scores) != columns["label"][row]
    assert columns["backwards"][0] >= 10
    assert columns["seconds"][0] > 0
    assert columns["forwards"][3] == columns["seconds"][3] == 0


def test_as_many_adversarials_are_kept_as_asked_for(subject, tmp_path):
    for shard in planning.plan(tmp_path, [BIM], COUNT, 10, num_adversarials=15):
        sweep.run_shard(shard, subject, jit_compile=False)
    rows = sorted(results.read(tmp_path).to_pylist(), key=lambda r: r["sample"])
    kept = [row["sample"] for row in rows if row["adversarial"]]
    assert kept == [sample for sample in range(15) if sample != 3]
    found = results.adversarials(tmp_path, "toy", {"l2_bim": range(COUNT)})
    assert sorted(found) == [("l2_bim", sample) for sample in kept]
    assert all(image.shape == data.IMAGE_SHAPE for image in found.values())
    assert all(row["distance_l2"] < np.inf for row in rows)


def test_gradients_are_of_images_alone(subject, monkeypatch):
    """Those of the weights of ABS would take a hundred megabytes an image."""
    tapes = []

    class Tape(tf.GradientTape):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            tapes.append(self)

    monkeypatch.setattr(tf, "GradientTape", Tape)
    sizes = gradients.largest_entries(subject.model, subject.examples)
    assert (sizes > 0).all()
    assert tapes
    assert not any(tape.watched_variables() for tape in tapes)


def test_an_operation_without_a_gradient_has_none(subject):
    """Within a function, as of a SavedModel, TensorFlow refuses to run it."""

    @tf.function
    def scores(images):
        return tf.reshape(tf.image.resize(images, (2, 5), "area"), (-1, 10))

    def model(images, training):
        assert not training
        return {"scores": scores(images)}

    sizes = gradients.largest_entries(model, subject.examples)
    np.testing.assert_array_equal(sizes, np.zeros(len(subject.examples)))


def test_what_of_a_gradient_is_finite_counts(subject):
    """Attacks follow it, so that it is no alarm."""
    examples = subject.examples.take([0, 1])
    examples.images[0, 0] = 0.0
    examples.images[1] = 0.0

    def model(images, training):
        return subject.model(tf.sqrt(images), training=training)

    some, none = gradients.largest_entries(model, examples)
    assert some > 0
    assert np.isnan(none)


def test_nothing_found_is_infinitely_far(subject):
    constant = keras.Model(
        subject.model.input,
        {"scores": 0.0 * subject.model.output["scores"]},
    )
    examples = dataclasses.replace(
        subject.examples, labels=np.zeros(COUNT, np.int64)
    )
    for attack, status in (
        (attacks.L2BasicIterativeAttack(), "failed"),
        (attacks.BoundaryAttack(steps=5), "no_start"),
    ):
        columns = sweep.records(
            cell(attack), constant, examples, jit_compile=False
        )
        assert (columns["status"] == status).all()
        assert np.isinf(columns["distance_l2"]).all()
        assert columns["adversarial"] == [None] * COUNT


def test_what_breaks_breaks_alone(subject):
    columns = sweep.records(
        cell(Fragile()), subject.model, subject.examples, jit_compile=False
    )
    broken = columns["status"] == "error"
    np.testing.assert_array_equal(np.flatnonzero(broken), [7])
    assert columns["message"][7] == "RuntimeError: this image broke me"
    assert np.isinf(columns["distance_l2"][7])


def test_a_gradient_that_breaks_breaks_alone(subject, monkeypatch, tmp_path):
    largest_entries = gradients.largest_entries

    def breaking(model, examples):
        if 7 in examples.rows:
            raise MemoryError("out of memory")
        return largest_entries(model, examples)

    monkeypatch.setattr(gradients, "largest_entries", breaking)
    columns = sweep.records(
        BIM, subject.model, subject.examples, jit_compile=False
    )
    broken = np.isnan(columns["gradient"])
    np.testing.assert_array_equal(np.flatnonzero(broken), [7])
    assert columns["message"][7] == "MemoryError: out of memory"
    assert columns["status"][7] != "error"
    for shard in planning.plan(tmp_path, [BIM], COUNT, COUNT):
        assert sweep.run_shard(shard, subject, jit_compile=False) == ()


def test_what_is_there_is_not_made_again(subject, tmp_path):
    assert len(run(tmp_path, subject)) == 6
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    assert run(tmp_path, subject) == []
    assert len(first) == 6
    assert all(path.read_bytes() == text for path, text in first.items())


def test_speed_is_known_from_what_is_done(subject, tmp_path):
    assert planning.seconds_per_sample(tmp_path, "toy", "l2_bim") is None
    run(tmp_path, subject, [BIM])
    rows = results.read(tmp_path).to_pylist()
    mean = sum(row["seconds"] for row in rows) / COUNT
    known = [
        planning.seconds_per_sample(tmp_path, model, "l2_bim")
        for model in ("toy", "another")
    ]
    assert known == pytest.approx([mean, mean])
    assert planning.seconds_per_sample(tmp_path, "toy", "l2_ddn") is None


def test_killed_and_resumed_is_uninterrupted(subject, tmp_path, monkeypatch):
    run(tmp_path / "whole", subject)
    write = results.write_shard
    for kill_at in (0, 2, 1, 1, 0):
        written = []

        def dying(*arguments, kill_at=kill_at, written=written):
            if len(written) == kill_at:
                raise KeyboardInterrupt
            written.append(arguments)
            write(*arguments)

        monkeypatch.setattr(results, "write_shard", dying)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "parts", subject)
    monkeypatch.setattr(results, "write_shard", write)
    assert len(run(tmp_path / "parts", subject)) == 2
    np.testing.assert_equal(
        records(tmp_path / "parts"), records(tmp_path / "whole")
    )


def test_the_size_of_shards_changes_nothing(subject, tmp_path):
    run(tmp_path / "large", subject, size=COUNT)
    run(tmp_path / "small", subject, size=7)
    same(records(tmp_path / "large"), records(tmp_path / "small"))


def test_more_examples_add_to_fewer(subject, tmp_path):
    run(tmp_path, subject, count=12, size=10)
    added = run(tmp_path, subject, count=COUNT, size=10)
    assert [list(shard.positions) for shard in added[:2]] == [
        list(range(12, 20)),
        list(range(20, 30)),
    ]
    assert len(records(tmp_path)) == 2 * COUNT


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weights_digest": "other"}, "weights_digest: 'digest' there"),
        ({"seed": 1}, "seed: 0 there, 1 here"),
        ({"dataset": "else"}, "dataset"),
        ({"spec": dataclasses.replace(DDN.spec, repeats=2)}, "repeats"),
        (
            {
                "spec": dataclasses.replace(
                    DDN.spec, attack=attacks.DDNAttack(steps=9)
                )
            },
            "attack",
        ),
    ],
)
def test_records_of_something_else_are_refused(
    subject, tmp_path, change, named
):
    run(tmp_path, subject, [DDN])
    with pytest.raises(ValueError, match=named):
        planning.plan(tmp_path, [dataclasses.replace(DDN, **change)], COUNT, 10)


def test_records_that_were_not_moved_all_the_way_are_refused(subject, tmp_path):
    shards = run(tmp_path, subject, size=COUNT)
    columns = sweep.records(
        DDN, subject.model, subject.examples, jit_compile=False
    )
    for shard in shards:
        # As records were when a last part of the way was left out.
        older = {**shard.cell.fingerprint}
        del older["clip_tries"]
        results.write_shard(shard.path, columns, older)
    assert not planning.plan(tmp_path, [BIM], COUNT, COUNT)
    with pytest.raises(ValueError, match="clip_tries: None there, 11 here"):
        planning.plan(tmp_path, [DDN], COUNT, COUNT)


def test_a_separate_checker_confirms_the_records(subject, tmp_path):
    model, folder = subject.model, tmp_path / "results"
    saving.export(model, {"model": "toy"}, tmp_path / "models" / "toy")
    pixels = np.random.default_rng(0).integers(50, 200, (6, 784), np.uint8)
    idx = tmp_path / "images.gz"
    idx.write_bytes(gzip.compress(bytes(16) + pixels.tobytes()))
    images = pixels.reshape(6, *data.IMAGE_SHAPE) / np.float32(255)
    labels = metrics.predictions(model, images)
    examples = data.Examples(images, labels, np.arange(6))
    run(folder, sweep.Subject(model, examples), [BIM], 6)

    def check():
        command = [
            *(sys.executable, ROOT / "scripts" / "check_records.py"),
            *(folder, tmp_path / "models", idx),
        ]
        return subprocess.run(command, capture_output=True, text=True)

    process = check()
    found = sum(row["status"] == "success" for row in records(folder).values())
    assert found
    assert f"{found} adversarials are what" in process.stdout, process.stderr
    path = next(folder.rglob("*.parquet"))
    table = results.read(folder)
    moved = pa.array(np.array(table["distance_l1"]) * 1.01)
    place = table.schema.get_field_index("distance_l1")
    pq.write_table(table.set_column(place, "distance_l1", moved), path)
    assert "AssertionError" in check().stderr
