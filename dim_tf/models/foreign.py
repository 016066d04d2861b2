"""Models that this project did not make, as classifiers of images in [0, 1]."""

import hashlib
import pathlib
import zlib

import keras
import numpy as np
import tensorflow as tf

from dim_tf.models import saving
from dim_tf.models import wrapping
from dim_tf.models.wrapping import PLAIN
from dim_tf.models.wrapping import Reading


def load(path: pathlib.Path, reading: Reading = PLAIN) -> keras.Model:
    """Loads any Keras file or SavedModel that classifies images.

    Args:
        path: of a `.keras` or `.h5` file, or of a SavedModel's folder.
        reading: of it.

    Returns:
        Keras model, images `(batch, height, width, channels)` in [0, 1] ->
        `{"scores": (batch, classes)}`; beside them `probabilities`, where the
        scores are their logarithms.

    Raises:
        ValueError: unreadable, or not of images to scores; says what it is.
    """
    inner, shape = _read(path, reading.signature)
    return wrapping.wrap(inner, shape, reading, name_of(path), str(path))


def name_of(path: pathlib.Path) -> str:
    """A file's name, or that of the folder above a version."""
    return path.parent.name if path.name.isdigit() else path.stem


def digest(path: pathlib.Path, reading: Reading | None = None) -> str:
    """SHA-256 of a file, or of all files in a folder, and of their reading.

    And of their names: what is called otherwise has another one.

    Raises:
        FileNotFoundError: there is neither.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    read_as = repr(reading) + reading.scores if reading else ""
    total = hashlib.sha256(read_as.encode())
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    for file in files:
        if file.is_file():
            total.update(str(file.relative_to(path.parent)).encode())
            total.update(file.read_bytes())
    return total.hexdigest()


def _read(path, signature):
    """The model and the shape of an image."""
    if path.is_dir():
        return _read_saved_model(path, signature)
    try:
        model = keras.models.load_model(path, compile=False)
    except saving.DAMAGE as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} is no Keras model: {reason}. If it is, with code of your "
            "own in it, export it as a SavedModel: model.export(folder)"
        ) from error
    model.trainable = False
    try:
        shape = model.input_shape
    except AttributeError as error:
        raise ValueError(
            f"{path} does not say which images it takes; save it as "
            "keras.Sequential([keras.Input((height, width, channels)), model])"
        ) from error
    if not isinstance(shape, tuple):
        raise ValueError(f"{path} must have one input, got {shape}")
    return model, shape[1:]


def _read_saved_model(path, signature):
    if not (path / "saved_model.pb").is_file():
        raise ValueError(
            f"{path} is neither a model folder of this project (no card.json) "
            "nor a SavedModel (no saved_model.pb)"
        )
    signatures = tf.saved_model.load(str(path)).signatures
    if signature not in signatures:
        raise ValueError(
            f"{path} has no signature {signature!r}; expected one of "
            f"{', '.join(sorted(signatures))}"
        )
    _, inputs = signatures[signature].structured_input_signature
    if len(inputs) != 1:
        raise ValueError(
            f"signature {signature!r} of {path} must have one input, got "
            f"{', '.join(sorted(inputs))}"
        )
    (spec,) = inputs.values()
    if not spec.dtype.is_floating:
        raise ValueError(
            f"signature {signature!r} of {path} takes {spec.dtype.name}, along "
            "which there are no gradients; expected floats; export a "
            "signature that takes these"
        )
    if spec.shape.rank in (None, 0) or spec.shape[0] is not None:
        raise ValueError(
            f"signature {signature!r} of {path} takes {spec.shape}; expected "
            "an unknown first size, the batch's; export it so"
        )
    # To its own type Keras would cast what it takes.
    layer = keras.layers.TFSMLayer(
        str(path), call_endpoint=signature, dtype=spec.dtype.name
    )
    return layer, tuple(spec.shape[1:])


def images_of(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of an `.npz` file.

    Args:
        path: of a file with `images`, uint8, or float in [0, 1], `(n, height,
            width)` or `(n, height, width, channels)`, and integer `labels`
            `(n,)`.

    Returns:
        float32 `(n, height, width, channels)` in [0, 1], int64 `(n,)`.

    Raises:
        ValueError: not such a file.
    """
    try:
        with path.open("rb") as file:
            images, labels = _arrays(file)
    except (*saving.DAMAGE, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} must be an .npz file with arrays `images` and `labels` "
            f"(np.savez(path, images=..., labels=...)): {error}"
        ) from error
    return checked(images, labels, str(path))


def checked(
    images: np.ndarray, labels: np.ndarray, source: str
) -> tuple[np.ndarray, np.ndarray]:
    """Checks that arrays are images and labels.

    Args:
        images: uint8, or float in [0, 1], `(n, height, width)` or `(n, height,
            width, channels)`.
        labels: integers `(n,)`.
        source: where they are from, for messages.

    Returns:
        As `images_of`.

    Raises:
        ValueError: they are not.
    """
    if images.dtype == np.uint8:
        images = images / np.float32(255)
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype.kind != "f" or images.ndim != 4:
        raise ValueError(
            f"images in {source} must be uint8 or float (n, height, width) or "
            f"(n, height, width, channels), got {images.dtype} {images.shape}"
        )
    if not images.size:
        raise ValueError(
            f"{source} has no images: their shape is {images.shape}"
        )
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"images in {source} must lie in [0, 1], got values in "
            f"[{images.min():g}, {images.max():g}]"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise ValueError(
            f"labels in {source} must be integers ({len(images)},), got "
            f"{labels.dtype} {labels.shape}"
        )
    return images.astype(np.float32), labels.astype(np.int64)


def _arrays(file):
    start = file.read(6)
    file.seek(0)
    # What else NumPy takes for pickled.
    if not start.startswith((b"PK", b"\x93NUMPY")):
        raise ValueError(f"found a file that starts with {start!r}")
    loaded = np.load(file)
    if isinstance(loaded, np.ndarray):
        raise ValueError(f"found one array, {loaded.dtype} {loaded.shape}")
    with loaded:
        if not {"images", "labels"} <= set(loaded.files):
            found = ", ".join(loaded.files) or "nothing"
            raise ValueError(f"found {found} in it")
        return loaded["images"], loaded["labels"]
