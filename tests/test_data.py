import concurrent.futures
import dataclasses
import functools
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from dim_tf import data
from dim_tf import noise


def check_against_files(settings, folder, read_idx, validation_size):
    """Compares all three splits with the IDX files, byte for byte."""
    for splits, prefix in (
        (("train", "validation"), "train"),
        (["test"], "t10k"),
    ):
        pixels = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
        digits = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
        parts = [data.load(settings, split) for split in splits]
        rows = np.concatenate([part.rows for part in parts])
        images = np.concatenate([part.images for part in parts])
        labels = np.concatenate([part.labels for part in parts])
        np.testing.assert_array_equal(rows, np.arange(len(digits)))
        np.testing.assert_array_equal(labels, digits)
        np.testing.assert_array_equal(
            np.round(images * 255).astype(np.uint8), pixels[..., None]
        )
        if prefix == "train":
            assert len(parts[1]) == validation_size


def test_rows_follow_the_files(tiny_mnist, tiny_files, read_idx):
    check_against_files(tiny_mnist, tiny_files, read_idx, 100)


@pytest.mark.slow
def test_rows_follow_the_files_of_mnist(mnist, read_idx):
    folder = pathlib.Path(data.__file__).parents[1] / "data" / "mnist"
    check_against_files(mnist, folder, read_idx, 5_000)


@pytest.mark.parametrize("split", data.SPLITS)
def test_load_types_and_range(tiny_mnist, split):
    examples = data.load(tiny_mnist, split)
    assert examples.images.dtype == np.float32
    assert examples.images.shape == (len(examples), 28, 28, 1)
    assert examples.images.min() == 0.0
    assert 0.9 < examples.images.max() <= 1.0
    assert examples.labels.dtype == examples.rows.dtype == np.int64
    assert set(examples.labels) == set(range(10))


def test_take_keeps_images_labels_and_rows_together(tiny_mnist):
    examples = data.load(tiny_mnist, "validation")
    some = examples.take(np.array([7, 3]))
    assert list(some.rows) == [507, 503]
    assert list(some.labels) == [examples.labels[7], examples.labels[3]]
    np.testing.assert_array_equal(some.images[1], examples.images[3])


def test_unknown_split_lists_the_splits(tiny_mnist):
    with pytest.raises(ValueError, match="train, validation, test, got 'val'"):
        data.load(tiny_mnist, "val")


@pytest.mark.parametrize("size", [600, 601])
def test_validation_must_leave_training_images(tiny_mnist, size):
    settings = dataclasses.replace(tiny_mnist, validation_size=size)
    with pytest.raises(ValueError, match=f"less than the 600 .*got {size}"):
        data.load(settings, "train")


def fresh(tmp_path, manual_dir="", dataset="mnist"):
    return data.DataConfig(
        dataset=dataset,
        data_dir=str(tmp_path / "prepared"),
        manual_dir=str(manual_dir),
    )


def test_corrupted_file_then_restored(tiny_files, tmp_path):
    copies = tmp_path / "files"
    shutil.copytree(tiny_files, copies)
    damaged = copies / "train-images-idx3-ubyte.gz"
    intact = damaged.read_bytes()
    damaged.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    settings = fresh(tmp_path, copies)
    with pytest.raises(ValueError, match="file of mnist is corrupted: .*train"):
        data.load(settings, "test")
    damaged.write_bytes(intact)
    assert len(data.load(settings, "test")) == 200


def test_who_comes_second_waits_for_the_first(tiny_files, tmp_path):
    load = functools.partial(data.load, fresh(tmp_path, tiny_files), "test")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first, second = (pool.submit(load) for _ in range(2))
    np.testing.assert_array_equal(first.result().images, second.result().images)


def test_missing_file_is_named(tiny_files, tmp_path):
    copies = tmp_path / "files"
    shutil.copytree(tiny_files, copies)
    (copies / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels.*--manual_dir"):
        data.load(fresh(tmp_path, copies), "test")


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("no_such_set", "--dataset=no_such_set .*mnist, fashion_mnist"),
        ("cifar10", r"has images \(32, 32, 3\) in 10 classes"),
        # tfds takes them for mnist, of which cards and records say "mnist".
        ("MNIST", "--dataset=MNIST must be written mnist"),
        ("mnist:3.0.1", "--dataset=mnist:3.0.1 must be written mnist"),
        ("mnist/x=1", "--dataset=mnist/x=1 is not a tensorflow-datasets name"),
        ("emnist:3.1.0", "must be written emnist/"),
        ("binary_alpha_digits", r"has images \(20, 16, 1\) in 36 classes"),
    ],
)
def test_unusable_dataset(tmp_path, dataset, message):
    with pytest.raises(ValueError, match=message):
        data.load(fresh(tmp_path, dataset=dataset), "test")


class TinyColors(tfds.core.GeneratorBasedBuilder):
    """Six red images of two classes, and no training split."""

    # Where its metadata would be: a test module has no package to look in.
    pkg_dir_path = pathlib.Path(__file__).parent
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(6, 8, 3)),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples()}

    def _generate_examples(self):
        for row in range(6):
            image = np.zeros((6, 8, 3), np.uint8)
            image[..., 0] = 51 * row
            yield row, {"image": image, "label": row % 2}


def test_images_of_any_shape(tmp_path):
    settings = fresh(tmp_path, dataset="tiny_colors")
    examples = data.load(settings, "test", any_shape=True)
    assert examples.images.shape == (6, 6, 8, 3)
    np.testing.assert_allclose(
        examples.images[:, 0, 0, 0], np.arange(6) / 5, rtol=1e-6
    )
    np.testing.assert_array_equal(examples.labels, [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(examples.rows, np.arange(6))
    with pytest.raises(ValueError, match="no train split, only test"):
        data.load(settings, "train", any_shape=True)
    with pytest.raises(ValueError, match=r"\(6, 8, 3\) in 2 classes; the"):
        data.load(settings, "test")


def test_images_of_no_one_shape_are_refused(tmp_path):
    settings = fresh(tmp_path, dataset="cats_vs_dogs")
    with pytest.raises(ValueError, match="images of one size, and a label"):
        data.load(settings, "test", any_shape=True)


def test_shuffled_data_dir_is_rejected(tiny_files, tmp_path):
    settings = fresh(tmp_path, tiny_files)
    builder = tfds.builder("mnist", data_dir=settings.data_dir)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=settings.manual_dir, try_download_gcs=False
        )
    )
    with pytest.raises(ValueError, match="shuffled order.*empty --data_dir"):
        data.load(settings, "test")


def numbered(count):
    """Examples whose label is their number."""
    images = np.zeros((count, 28, 28, 1), np.float32)
    return data.Examples(images, np.arange(count), np.arange(count))


def batches(examples, **arguments):
    noises = noise.parse_noise("gaussian:0.3")
    stream = data.training_batches(
        examples, **{"seed": (0, 5), "noises": noises, **arguments}
    )
    return [tuple(part.numpy() for part in batch) for batch in stream]


def test_every_example_once_per_epoch_in_a_new_order():
    epochs = np.reshape(
        [
            labels
            for *_, labels in batches(numbered(60), batch_size=6, epochs=3)
        ],
        (3, 60),
    )
    for order in epochs:
        assert sorted(order) == list(range(60))
    assert len({tuple(order) for order in (*epochs, np.arange(60))}) == 4


def test_batches_number_their_examples_and_add_noise():
    examples = numbered(60)
    stream = batches(examples, batch_size=6, epochs=2)
    numbers = np.concatenate([numbers for numbers, *_ in stream])
    np.testing.assert_array_equal(numbers, np.arange(120))
    noises = [noisy - clean for _, noisy, clean, _ in stream]
    assert all(np.std(change) > 0.01 for change in noises)
    assert (noises[0] != noises[10]).any()


def test_images_stay_with_their_labels():
    examples = numbered(60)
    examples.images[:] = np.arange(60)[:, None, None, None]
    for _, noisy, clean, labels in batches(
        examples, batch_size=6, epochs=1, noises=()
    ):
        np.testing.assert_array_equal(clean[:, 0, 0, 0], labels)
        np.testing.assert_array_equal(noisy, clean)


def test_incomplete_batch_is_left_out():
    assert len(batches(numbered(10), batch_size=4, epochs=3)) == 6


@pytest.mark.parametrize("first_step", [1, 10, 14, 20])
def test_resumed_batches_equal_uninterrupted_ones(first_step):
    arguments = {"batch_size": 6, "epochs": 2}
    whole = batches(numbered(60), **arguments)
    resumed = batches(numbered(60), first_step=first_step, **arguments)
    assert len(resumed) == len(whole) - first_step
    for one, other in zip(resumed, whole[first_step:], strict=True):
        for part, other_part in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, other_part)
