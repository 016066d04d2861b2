"""Fixtures: seeds, tiny and real MNIST, small models and their folders."""

import contextlib
import dataclasses
import gzip
import pathlib
import shutil
import struct

import hypothesis
import keras
import numpy as np
import pytest
import served
from tensorflow_datasets.core.download import checksums
from tensorflow_datasets.image_classification import mnist as tfds_mnist

from dim_tf import data
from dim_tf import models
from dim_tf.models import dim
from dim_tf.models import saving
from dim_tf.models.analysis_by_synthesis import AbsConfig
from dim_tf.reporting import paper

# The same examples everywhere, however busy a machine is.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")

TINY_TRAIN = 600
TINY_VALIDATION = 100
TINY_TEST = 200


@pytest.fixture(autouse=True)
def seeds():
    keras.utils.set_random_seed(0)


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture
def paper_of_few(monkeypatch):
    """The paper's minima, as if it had no more attacks than a test has."""
    monkeypatch.setattr(paper, "attacks", lambda norm: [])


def _blobs(generator, count):
    """Digit-like uint8 images: class k is a blob on a circle at hour k."""
    labels = generator.integers(0, data.NUM_CLASSES, count)
    angles = 2 * np.pi * labels / data.NUM_CLASSES
    centers = 14 + 9 * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    centers += generator.uniform(-1, 1, (count, 2))
    y, x = np.mgrid[:28, :28]
    squares = (y - centers[:, 0, None, None]) ** 2
    squares += (x - centers[:, 1, None, None]) ** 2
    images = np.where(squares < 16, 230.0, 0.0)
    images += generator.uniform(0, 25, images.shape)
    return images.astype(np.uint8), labels.astype(np.uint8)


def _write_idx(path, array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


@contextlib.contextmanager
def _accepting(folder):
    """Lets tfds take the files in `folder` for the official MNIST ones."""
    base = tfds_mnist.MNIST.URL
    infos = {
        base + path.name: checksums.compute_url_info(path)
        for path in folder.glob("*.gz")
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfds_mnist, "_TRAIN_EXAMPLES", TINY_TRAIN)
        patch.setattr(tfds_mnist, "_TEST_EXAMPLES", TINY_TEST)
        patch.setattr(tfds_mnist.MNIST, "url_infos", infos)
        yield


@pytest.fixture(scope="session")
def _tiny_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny_mnist_files")
    generator = np.random.default_rng(0)
    for prefix, count in (("train", TINY_TRAIN), ("t10k", TINY_TEST)):
        images, labels = _blobs(generator, count)
        _write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        _write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", labels)
    return folder


@pytest.fixture
def tiny_files(_tiny_files):
    """Folder of tiny IDX files, while tfds accepts them as MNIST."""
    with _accepting(_tiny_files):
        yield _tiny_files


@pytest.fixture(scope="session")
def tiny_mnist(_tiny_files, tmp_path_factory):
    """DataConfig of 500 + 100 + 200 synthetic images, prepared by tfds."""
    settings = data.DataConfig(
        data_dir=str(tmp_path_factory.mktemp("tiny_mnist")),
        manual_dir=str(_tiny_files),
        validation_size=TINY_VALIDATION,
    )
    with _accepting(_tiny_files):
        data.load(settings, "test")
    return settings


@pytest.fixture(scope="session")
def mnist(tmp_path_factory):
    """DataConfig of the bundled MNIST; half a minute, for slow tests only."""
    settings = data.DataConfig(data_dir=str(tmp_path_factory.mktemp("mnist")))
    data.load(settings, "test")
    return settings


@pytest.fixture
def read_idx():
    """Function `path -> uint8 array`, written apart from the library."""

    def read(path: pathlib.Path):
        raw = gzip.decompress(path.read_bytes())
        rank = raw[3]
        shape = struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank])
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)

    return read


SMALL_DIM = dim.DimConfig(
    denoiser_units=12,
    denoiser_bottleneck=5,
    denoiser_activation="tanh",
    internal_units=6,
    latent_units=4,
    internal_output="sigmoid",
)

SMALL_ABS = AbsConfig(
    abs_latent_units=4, abs_width=0.25, abs_samples=40, abs_steps=3
)


@pytest.fixture
def small_sizes():
    """Function `name -> sizes`, small and not the defaults where it can be."""

    def sizes(name):
        kind = models.entry(name).sizes
        small = {dim.DimConfig: SMALL_DIM, AbsConfig: SMALL_ABS}
        return small.get(kind, kind())

    return sizes


def _write_folders(folder):
    generator = np.random.default_rng(0)
    for name in ("dim", "cnn"):
        sizes = models.resolve(name, SMALL_DIM if name == "dim" else None)
        model = models.build(name, sizes)
        # No weight may keep a start value that every model has.
        model.set_weights(
            [
                weight + generator.uniform(0.01, 0.1, weight.shape)
                for weight in model.get_weights()
            ]
        )
        for variant in (name, f"bi_{name}"):
            card = {
                "model": variant,
                "weights_digest": saving.digest(model),
                "settings": {
                    "model": name,
                    "dataset": "mnist",
                    "sizes": dataclasses.asdict(sizes),
                },
            }
            saving.write(
                folder / variant, card, model if variant == name else None
            )


@pytest.fixture(scope="session")
def _saved_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_models")
    _write_folders(folder)
    return folder


@pytest.fixture
def saved_models(_saved_models, tmp_path, monkeypatch):
    """Folder of a small `dim`, a `cnn` and their `bi_*`, where `load` looks."""
    folder = tmp_path / "saved_models"
    shutil.copytree(_saved_models, folder)
    monkeypatch.setattr(models, "SAVED_MODELS", folder)
    return folder


@pytest.fixture
def weights(generator):
    """Normal of a linear model: 36 weights of either sign, none near 0."""
    signs = generator.choice([-1, 1], 36)
    return (signs * generator.uniform(0.2, 1, 36)).astype(np.float32)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Folder with version 1 of a small DIM, and that DIM."""
    folder = tmp_path_factory.mktemp("serving")
    return folder, served.export(folder)


@pytest.fixture(scope="session")
def served_model(exported):
    """The small DIM that `client` asks."""
    return exported[1]


@pytest.fixture(scope="session")
def client(exported):
    """HTTP client of a service of the small DIM."""
    with served.serving(exported[0]) as client:
        yield client


@pytest.fixture
def random_images(generator):
    return generator.uniform(size=(3, 28, 28, 1)).astype(np.float32)
