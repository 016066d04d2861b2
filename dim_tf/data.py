"""Images: loading through tensorflow-datasets, splits and batches.

An image is float32 `(28, 28, 1)` in [0, 1], a label int64; third-party models
are attacked on images of any other shape as well. An example is named
by its row in the dataset's own file (for MNIST: the IDX file), which never
changes, and not by its position in a shuffled stream.
"""

import dataclasses
import pathlib
from collections.abc import Sequence

import filelock
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from dim_tf import config
from dim_tf import noise

IMAGE_SHAPE = (28, 28, 1)
NUM_CLASSES = 10
SPLITS = ("train", "validation", "test")

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_MNIST_DIR = _ROOT / "data" / "mnist"
_MNIST_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which images to use and where they lie."""

    dataset: str = config.setting(
        "mnist",
        "tensorflow-datasets name of a 28x28 gray dataset of ten classes: "
        "mnist (bundled), fashion_mnist, kmnist, ...; for third-party models "
        "any images of one size.",
    )
    data_dir: str = config.setting(
        str(_ROOT / "data" / "tfds"), "Folder of the prepared datasets."
    )
    manual_dir: str = config.setting(
        "",
        "Folder of already downloaded original files. Empty: the bundled "
        "files for mnist, the network for any other dataset.",
    )

    validation_size: int = config.setting(
        5_000,
        "Images at the end of the training file that are held out. Every "
        "choice is made on them, none on the test set.",
        minimum=1,
    )

    def __post_init__(self):
        config.validate(self)


@dataclasses.dataclass(frozen=True)
class Examples:
    """Images with their labels and names.

    Attributes:
        images: float32 `(n, 28, 28, 1)`, or of another shape, in [0, 1].
        labels: int64 `(n,)`.
        rows: int64 `(n,)`, position in the dataset's own file.
    """

    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray

    def __len__(self):
        return len(self.labels)

    def take(self, selection) -> "Examples":
        """The examples at the given positions (a slice or index array)."""
        return Examples(
            self.images[selection], self.labels[selection], self.rows[selection]
        )


def load(
    settings: DataConfig, split: str, *, any_shape: bool = False
) -> Examples:
    """Loads one split, in the order of the dataset's own file.

    Prepares the dataset on first use, checksums enforced.

    Args:
        settings: which dataset.
        split: `"train"`, `"validation"` (the last rows of the training file)
            or `"test"`.
        any_shape: whether images may be of any one size and any classes, as
            long as they have labels; else 28x28 gray in ten classes.

    Raises:
        ValueError: unknown dataset or split, corrupted or unreachable files,
            or other images than these.
        FileNotFoundError: an original MNIST file is missing.
    """
    if split not in SPLITS:
        raise ValueError(
            f"split must be one of {', '.join(SPLITS)}, got {split!r}"
        )
    builder = _prepared_builder(settings, any_shape)
    source = "test" if split == "test" else "train"
    if source not in builder.info.splits:
        raise ValueError(
            f"--dataset={settings.dataset} has no {source} split, only "
            f"{', '.join(builder.info.splits)}"
        )
    start, stop = 0, builder.info.splits[source].num_examples
    if source == "train":
        boundary = stop - settings.validation_size
        if boundary <= 0:
            raise ValueError(
                f"--validation_size must be less than the {stop} training "
                f"images, got {settings.validation_size}"
            )
        start, stop = (0, boundary) if split == "train" else (boundary, stop)
    stream = builder.as_dataset(
        split=f"{source}[{start}:{stop}]",
        batch_size=1_000,
        # One file at a time: anything else would mix up the rows.
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
    )
    batches = list(tfds.as_numpy(stream))
    images = np.concatenate([batch["image"] for batch in batches])
    labels = np.concatenate([batch["label"] for batch in batches])
    return Examples(
        images.astype(np.float32) / np.float32(255),
        labels.astype(np.int64),
        np.arange(start, stop, dtype=np.int64),
    )


def _prepared_builder(
    settings: DataConfig, any_shape: bool
) -> tfds.core.DatasetBuilder:
    try:
        builder = tfds.builder(settings.dataset, data_dir=settings.data_dir)
    except (
        *(tfds.core.DatasetNotFoundError, AssertionError),
        *(RuntimeError, TypeError),  # of another library's, of a bad setting
    ) as error:
        raise ValueError(
            f"--dataset={settings.dataset} is not a tensorflow-datasets name; "
            "try mnist, fashion_mnist or kmnist"
        ) from error
    _check_name(builder, settings.dataset)
    _check_features(builder, any_shape)
    if not builder.data_path.exists():
        builder = _prepare(settings)
    if not builder.info.disable_shuffling:
        raise ValueError(
            f"{builder.data_path} was prepared in shuffled order, which loses "
            "the row of each example; choose an empty --data_dir"
        )
    return builder


def _check_name(builder, name) -> None:
    """By its name records and cards know a data set: it must have one alone."""
    names = [builder.name]
    if builder.builder_config:
        names.append(f"{builder.name}/{builder.builder_config.name}")
    if name not in names:
        raise ValueError(f"--dataset={name} must be written {names[-1]}")


def _check_features(builder, any_shape) -> None:
    name, features = builder.name, dict(builder.info.features.items())
    image = features.get("image")
    shape = getattr(image, "shape", None)
    dtype = getattr(image, "np_dtype", None)
    classes = getattr(features.get("label"), "num_classes", None)
    if any_shape:
        fixed = shape is not None and None not in shape
        if not fixed or dtype != np.uint8 or classes is None:
            raise ValueError(
                f"--dataset={name} has images {shape} in {classes} classes; "
                "expected 8-bit images of one size, and a label for each"
            )
    elif shape != IMAGE_SHAPE or classes != NUM_CLASSES:
        raise ValueError(
            f"--dataset={name} has images {shape} in {classes} classes; the "
            f"models take {IMAGE_SHAPE} in {NUM_CLASSES}"
        )


def _prepare(settings: DataConfig) -> tfds.core.DatasetBuilder:
    manual_dir = settings.manual_dir or None
    if settings.dataset == "mnist":
        manual_dir = manual_dir or str(_MNIST_DIR)
        for name in _MNIST_FILES:
            path = pathlib.Path(manual_dir) / name
            if not path.is_file():
                raise FileNotFoundError(
                    f"missing MNIST file {path}; restore it with "
                    "`git checkout data/mnist` or set --manual_dir"
                )
    folder = pathlib.Path(settings.data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock"):
            # Made here, to see what a process that was first has prepared.
            builder = tfds.builder(settings.dataset, data_dir=folder)
            if not builder.data_path.exists():
                _download_and_prepare(builder, manual_dir)
            return builder
    except tfds.download.download_manager.NonMatchingChecksumError as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"an original file of {settings.dataset} is corrupted: {reason}"
        ) from error
    except (tfds.download.DownloadError, OSError) as error:
        raise ValueError(
            f"could not prepare {settings.dataset}: {error}; check network and "
            "disk, or give the folder of the original files by --manual_dir"
        ) from error


def _download_and_prepare(builder, manual_dir) -> None:
    # Keep the order of the original file: positions are the examples' names.
    builder.info.as_proto.disable_shuffling = True
    tfds.disable_progress_bar()
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
            manual_dir=manual_dir,
            try_download_gcs=False,
            force_checksums_validation=True,
        )
    )


def training_batches(
    examples: Examples,
    *,
    batch_size: int,
    epochs: int,
    seed,
    noises: Sequence[noise.Noise] = (),
    first_step: int = 0,
) -> tf.data.Dataset:
    """Shuffled, noisy batches that can be resumed at any step.

    Batch number `s` is a pure function of the examples, `seed` and `s`: a run
    that stopped and goes on at `first_step` sees what it would have seen.
    The incomplete batch at the end of an epoch is left out.

    Args:
        examples: what to draw from.
        batch_size: images per batch, at most the number of examples.
        epochs: passes over the examples.
        seed: int64 `(2,)`, of the order and of the noise.
        noises: added to the images, see `noise.corrupt`.
        first_step: batches to skip.

    Returns:
        Dataset of `(numbers, noisy, clean, labels)`; `numbers` (int64) counts
        the examples drawn since the start and serves as a seed.
    """
    count = len(examples)
    images = tf.constant(examples.images)
    labels = tf.constant(examples.labels)
    order_seed, noise_seed = noise.fold_in(seed, 0), noise.fold_in(seed, 1)

    def positions_of(epoch):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count), seed=noise.fold_in(order_seed, epoch)
        )
        positions = tf.data.Dataset.from_tensor_slices(order)
        return positions.batch(batch_size, drop_remainder=True)

    def assemble(step, positions):
        clean = tf.gather(images, positions)
        noisy = noise.corrupt(clean, noises, noise.fold_in(noise_seed, step))
        numbers = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        return numbers, noisy, clean, tf.gather(labels, positions)

    return (
        tf.data.Dataset.range(epochs)
        .flat_map(positions_of)
        .enumerate()
        .skip(first_step)
        .map(assemble, num_parallel_calls=2)
        .prefetch(2)
    )
