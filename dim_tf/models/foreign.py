"""Models that this project did not make, as classifiers of images in [0, 1]."""

import dataclasses
import hashlib
import pathlib
import re
import zipfile

import keras
import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Reading:
    """What files do not say of a model.

    Attributes:
        bounds: what it takes for black and for white.
        signature: of a SavedModel: one with a single input.
        probabilities: whether it gives probabilities; attacks get their
            logarithms, which are logits.

    Raises:
        ValueError: the bounds do not ascend.
    """

    bounds: tuple[float, float] = (0.0, 1.0)
    signature: str = "serving_default"
    probabilities: bool = False

    def __post_init__(self):
        if not self.bounds[0] < self.bounds[1]:
            raise ValueError(f"bounds must be ascending, got {self.bounds}")


PLAIN = Reading()


def load(path: pathlib.Path, reading: Reading = PLAIN) -> keras.Model:
    """Loads any Keras file or SavedModel that classifies images.

    Args:
        path: of a `.keras` or `.h5` file, or of a SavedModel's folder.
        reading: of it.

    Returns:
        Keras model, images `(batch, height, width, channels)` in [0, 1] ->
        `{"scores": (batch, classes)}`.

    Raises:
        ValueError: unreadable, or not of images to scores; says what it is.
    """
    inner, shape = _read(path, reading.signature)
    if len(shape) != 3 or None in shape:
        raise ValueError(
            f"{path} takes inputs {shape}; expected images (height, width, "
            "channels) of a fixed size"
        )
    images = keras.Input(shape, name="images")
    low, high = reading.bounds
    outputs = inner(images * (high - low) + low)
    scores = _scores(outputs, path)
    if reading.probabilities:
        # Of a zero there is none. What is less is no probability, and has none
        # either.
        least = np.finfo(np.float32).tiny
        known = keras.ops.logical_or(scores < 0, scores >= least)
        scores = keras.ops.log(keras.ops.where(known, scores, least))
    # TensorFlow takes no other names.
    name = re.sub(r"[^A-Za-z0-9]+", "_", name_of(path)).strip("_") or "model"
    return keras.Model(images, {"scores": scores}, name=name)


def name_of(path: pathlib.Path) -> str:
    """A file's name, or that of the folder above a version."""
    return path.parent.name if path.name.isdigit() else path.stem


def digest(path: pathlib.Path, reading: Reading | None = None) -> str:
    """SHA-256 of a file, or of all files in a folder, and of their reading.

    Raises:
        FileNotFoundError: there is neither.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    total = hashlib.sha256(repr(reading).encode() if reading else b"")
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
    except (ValueError, OSError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is no Keras model: {reason}") from error
    model.trainable = False
    shape = model.input_shape
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
            f"{', '.join(signatures)}"
        )
    _, inputs = signatures[signature].structured_input_signature
    if len(inputs) != 1:
        raise ValueError(
            f"signature {signature!r} of {path} must have one input, got "
            f"{', '.join(inputs)}"
        )
    (spec,) = inputs.values()
    layer = keras.layers.TFSMLayer(str(path), call_endpoint=signature)
    return layer, tuple(spec.shape[1:])


def _scores(outputs, path):
    if isinstance(outputs, dict):
        if "scores" not in outputs and len(outputs) > 1:
            raise ValueError(
                f"{path} has the outputs {', '.join(outputs)}; expected one, "
                "or one called scores"
            )
        outputs = outputs.get("scores", next(iter(outputs.values())))
    if len(outputs.shape) != 2 or outputs.shape[1] is None:
        raise ValueError(
            f"{path} gives {tuple(outputs.shape)}; expected scores (batch, "
            "classes)"
        )
    return outputs


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
        with path.open("rb") as file, np.load(file) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    # The last two are of a file that was cut short, and of one array alone.
    except (
        *(OSError, ValueError, KeyError, EOFError),
        *(zipfile.BadZipFile, TypeError),
    ) as error:
        raise ValueError(
            f"{path} must be an .npz file with images and labels: {error}"
        ) from error
    if images.dtype == np.uint8:
        images = images / np.float32(255)
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype.kind != "f" or images.ndim != 4:
        raise ValueError(
            f"images in {path} must be uint8 or float (n, height, width) or "
            f"(n, height, width, channels), got {images.dtype} {images.shape}"
        )
    if not images.size:
        raise ValueError(f"images in {path} must be some, got {images.shape}")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"images in {path} must lie in [0, 1], got values in "
            f"[{images.min():g}, {images.max():g}]"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise ValueError(
            f"labels in {path} must be integers ({len(images)},), got "
            f"{labels.dtype} {labels.shape}"
        )
    return images.astype(np.float32), labels.astype(np.int64)
