import pathlib
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dim_tf.evaluation import results

FINGERPRINT = {
    "weights_digest": "a1",
    "dataset": "mnist",
    "seed": 0,
    "epsilons": [0.1, None],
}


def columns(samples):
    count = len(samples)
    values = {
        "sample": samples,
        "status": ["success"] * count,
        "adversarial": [np.full(4, 0.1, np.float32)] * count,
        "message": [""] * count,
        "distance_l2": [np.inf] * count,
    }
    kinds = {pa.string(): "x", pa.int64(): 3, pa.float64(): 0.5}
    return {
        field.name: values.get(field.name, [kinds.get(field.type)] * count)
        for field in results.SCHEMA
    }


def test_what_is_written_is_read(tmp_path):
    for positions in (range(3, 5), range(3)):
        path = results.shard_path(tmp_path / "dim" / "l2_bim", positions)
        results.write_shard(path, columns(list(positions)), FINGERPRINT)
        results.check_fingerprint(path, FINGERPRINT)
    assert dict(results.shards(tmp_path / "dim" / "l2_bim")) == {
        tmp_path / "dim" / "l2_bim" / "00000-00002.parquet": range(3),
        tmp_path / "dim" / "l2_bim" / "00003-00004.parquet": range(3, 5),
    }
    table = results.read(tmp_path)
    assert table.schema == results.READ_SCHEMA
    assert table["dataset"].to_pylist() == ["mnist"] * 5
    assert table["largest_epsilon"].to_pylist() == [0.1] * 5
    assert table["at_threshold"].to_pylist() == [None] * 5
    assert table["sample"].to_pylist() == [0, 1, 2, 3, 4]
    assert table["distance_l2"].to_pylist() == [np.inf] * 5
    np.testing.assert_array_equal(
        table["adversarial"].to_pylist(), np.full((5, 4), np.float32(0.1))
    )
    few = results.read(tmp_path, ["sample"])
    added = (
        *("dataset", "weights_digest"),
        *("largest_epsilon", "at_threshold"),
    )
    assert few.column_names == ["sample", *added]
    assert few["dataset"].to_pylist() == ["mnist"] * 5


def test_what_is_of_no_results_folder_is_refused(tmp_path):
    one = results.shard_path(tmp_path / "a" / "dim" / "l2_bim", range(1))
    two = results.shard_path(tmp_path / "b" / "dim" / "l2_bim", range(1))
    for path in (one, two):
        results.write_shard(path, columns([0]), FINGERPRINT)
    with pytest.raises(ValueError, match="several folders .*/a and .*/b,"):
        results.read(tmp_path)
    # A link to a file is as good as the file.
    linked = tmp_path / "c" / "dim" / "l2_bim" / "00001-00001.parquet"
    linked.parent.mkdir(parents=True)
    linked.symlink_to(one)
    shutil.copy(two, linked.with_name("00002-00002.parquet"))
    assert len(results.read(tmp_path / "c")) == 2
    pq.write_table(pa.table({"x": [1]}), one.with_name("notes.parquet"))
    with pytest.raises(ValueError, match="notes.parquet holds no records"):
        results.read(tmp_path / "a")


@pytest.mark.parametrize(
    ("attack", "made_with", "threshold"),
    [
        ("linf_square", {"epsilons": [0.3], "clip_tries": 11}, 0.3),
        ("linf_bim_threshold_alone", {"epsilons": [0.2]}, 0.2),
        # It looks below this one, too.
        ("linf_pgd40_challenge", {"epsilons": [0.3]}, None),
        ("linf_deepfool", {"epsilons": [None], "clip_tries": 11}, None),
    ],
)
def test_what_was_tried_at_a_threshold_alone_is_told(
    attack, made_with, threshold, tmp_path
):
    path = results.shard_path(tmp_path / "dim" / attack, range(1))
    results.write_shard(path, columns([0]), made_with)
    assert results.read(tmp_path)["at_threshold"].to_pylist() == [threshold]


def test_of_what_images_are_a_file_may_not_say(tmp_path):
    path = results.shard_path(tmp_path, range(1))
    results.write_shard(path, columns([0]), {})
    table = results.read(tmp_path)
    assert table["dataset"].to_pylist() == [None]
    assert table["largest_epsilon"].to_pylist() == [None]
    assert table["at_threshold"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("written", "pixels", "read"),
    [
        ((8, 6, 3), 144, (8, 6, 3)),
        ((12, 12, 1), 144, (12, 12, 1)),
        ((5, 1, 2), 10, (5, 1, 2)),
        # As files were before they said it.
        (None, 784, (28, 28, 1)),
        (None, 144, None),
        (None, 48, None),
        (None, 10, None),
    ],
)
def test_adversarials_have_the_shape_of_the_images(
    written, pixels, read, tmp_path
):
    path = results.shard_path(tmp_path / "dim" / "l2_bim", range(2))
    image = np.arange(pixels, dtype=np.float32)
    own = {**columns([0, 1]), "adversarial": [image, None]}
    results.write_shard(path, own, FINGERPRINT, written)
    results.check_fingerprint(path, FINGERPRINT)
    found = results.adversarials(tmp_path, "dim", {"l2_bim": [0, 1]})
    assert {key: each.shape for key, each in found.items()} == (
        {("l2_bim", 0): read} if read else {}
    )
    assert all((each.ravel() == image).all() for each in found.values())


@pytest.mark.parametrize(
    "place", ["", "local", "local/dim", "local/dim/l2_bim"]
)
def test_adversarials_are_found_where_records_are(place, tmp_path, monkeypatch):
    for level, attack in enumerate(("l2_bim", "l2_ddn")):
        folder = tmp_path / "local" / "dim" / attack
        own = {**columns([0]), "adversarial": [np.full(4, level, np.float32)]}
        path = results.shard_path(folder, range(1))
        results.write_shard(path, own, FINGERPRINT)
    # By a name that has none of those that are looked for, too.
    monkeypatch.chdir(tmp_path / place)
    for folder in (tmp_path / place, pathlib.Path(".")):
        assert len(results.read(folder)) == (1 if "l2_bim" in place else 2)
        found = results.adversarials(folder, "dim", {"l2_bim": [0]})
        assert found.keys() == {("l2_bim", 0)}
        np.testing.assert_array_equal(*found.values(), np.zeros((2, 2, 1)))
    assert not results.adversarials(folder, "cnn", {"l2_bim": [0]})
    assert not results.adversarials(folder, "dim", {"l2": [0]})


def test_no_disk_no_shard(tmp_path, monkeypatch):
    path = results.shard_path(tmp_path / "dim", range(2))

    def full(table, file, **settings):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        results.write_shard(path, columns([0, 1]), FINGERPRINT)
    assert not list(path.parent.iterdir())


def test_columns_that_are_missing_write_nothing(tmp_path):
    path = results.shard_path(tmp_path / "dim", range(2))
    with pytest.raises(KeyError):
        results.write_shard(path, {"sample": [0, 1]}, FINGERPRINT)
    assert not path.exists()


def test_another_fingerprint_is_named_with_what_differs(tmp_path):
    path = results.shard_path(tmp_path, range(1))
    results.write_shard(path, columns([0]), FINGERPRINT)
    with pytest.raises(
        ValueError, match="weights_digest: 'a1' there, 'b2' here.*delete"
    ):
        results.check_fingerprint(path, {**FINGERPRINT, "weights_digest": "b2"})
    # The model alone.
    results.check_fingerprint(path, {"weights_digest": "a1"})
    with pytest.raises(ValueError, match="; thresholds are among the eps"):
        results.check_fingerprint(path, {**FINGERPRINT, "epsilons": [0.2]})


def test_records_of_something_else_are_not_written_over(tmp_path):
    path = results.shard_path(tmp_path, range(1))
    results.write_shard(path, columns([0]), FINGERPRINT)
    before = path.read_bytes()
    other = {**FINGERPRINT, "weights_digest": "b2"}
    with pytest.raises(ValueError, match="made with something else"):
        results.write_shard(path, columns([0]), other)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("length", [0, 3, -20])
def test_a_damaged_file_is_named(tmp_path, length):
    path = results.shard_path(tmp_path, range(1))
    results.write_shard(path, columns([0]), FINGERPRINT)
    path.write_bytes(path.read_bytes()[:length])
    for look in (
        lambda: results.check_fingerprint(path, FINGERPRINT),
        lambda: results.read(tmp_path),
    ):
        with pytest.raises(ValueError, match="00000-00000.parquet is damaged"):
            look()


def test_a_file_that_others_may_not_read_is_not_called_damaged(
    tmp_path, monkeypatch
):
    path = results.shard_path(tmp_path, range(1))
    results.write_shard(path, columns([0]), FINGERPRINT)
    assert path.stat().st_mode & 0o777 == 0o644

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(results.pq, "read_schema", refuse)
    with pytest.raises(PermissionError, match="Permission denied"):
        results.check_fingerprint(path, FINGERPRINT)


def test_no_records_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match="make some with"):
        results.read(tmp_path)
