"""Reading image files the way MNIST was made."""

import pathlib

import numpy as np
import PIL.Image
import PIL.ImageOps
from scipy import ndimage

_SIDE = 28
_DIGIT_SIDE = 20  # MNIST digits fill a 20x20 box, centered by mass in 28x28
_INK = 0.2  # brightness, on black, that a digit has somewhere
_EDGE = 0.35  # of that of its ink, where a digit ends
_SPECK = 0.02  # of the largest part of a digit: less is dust
_LARGEST = 512  # side, in pixels, that a digit is looked for in
_UNREADABLE = (OSError, ValueError, SyntaxError)


def read(path: str | pathlib.Path) -> np.ndarray:
    """Reads the digits in a PNG, JPEG or NPY file.

    Colors become gray, transparency becomes white, and dark ink on bright
    paper is inverted to a bright digit on black. Images of exactly 28x28 pixels
    are then taken as they are; of any other size, shading of the paper is taken
    off, and what is left is cropped to the ink, scaled to a longest side of 20
    pixels and centered by mass, as MNIST was.

    Args:
        path: an image file, or an NPY file with one image `(h, w)` or
            `(h, w, 1)` or several, `(n, h, w)` or `(n, h, w, 1)`; uint8, or
            float in [0, 1].

    Returns:
        float32 `(n, 28, 28, 1)` in [0, 1].

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an image, or nothing on it.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no image file {path}")
    is_array = path.suffix.lower() == ".npy"
    images = _read_npy(path) if is_array else _read_picture(path)
    return np.stack([normalize(image, str(path)) for image in images])[
        ..., None
    ]


def normalize(image: np.ndarray, name: str = "image") -> np.ndarray:
    """Makes one gray image look like MNIST.

    Args:
        image: float32 `(height, width)` in [0, 1], either polarity.
        name: what to call it in an error.

    Returns:
        float32 `(28, 28)` in [0, 1].

    Raises:
        ValueError: the image is blank.
    """
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    background = float(np.median(border))
    # Whatever differs more from the paper is the ink, on gray paper too.
    if background - image.min() > image.max() - background:
        image, background = 1.0 - image, 1.0 - background
    as_it_is = image.shape == (_SIDE, _SIDE)
    ink = image - background
    if not as_it_is:
        ink = _without_paper(_scaled(image, min(_LARGEST, max(image.shape))))
    if ink.max() < _INK:
        raise ValueError(f"{name} is blank: there is no digit on it")
    if as_it_is:
        return image
    dark = ink > _EDGE * ink.max()
    digit = _without_specks(dark)
    # Nine tenths of it, since a speck or the paper's grain may be the darkest.
    ink = np.clip(ink / np.quantile(ink[digit], 0.9), 0.0, 1.0)
    ink[dark & ~digit] = 0.0
    rows, columns = (np.flatnonzero(digit.any(axis=k)) for k in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return _centered(_scaled(ink, _DIGIT_SIDE))


def _without_paper(image: np.ndarray) -> np.ndarray:
    """How much brighter than the paper around it everything is.

    Light falls on paper from a side, and shadows on it. What is bright and
    narrower than a quarter of the image is none of it.
    """
    smooth = ndimage.uniform_filter(image, max(image.shape) // 100 + 1)
    quarter = max(image.shape) // 4 + 1
    return image - ndimage.grey_opening(smooth, (quarter, quarter))


def _without_specks(ink: np.ndarray) -> np.ndarray:
    """Which ink is of parts that are not tiny beside the largest: bool."""
    parts, count = ndimage.label(ink, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    return (sizes > _SPECK * sizes.max())[parts]


def _scaled(ink: np.ndarray, side: int) -> np.ndarray:
    """With another longest side."""
    scale = side / max(ink.shape)
    height, width = (max(1, round(old * scale)) for old in ink.shape)
    picture = PIL.Image.fromarray(ink.astype(np.float32)).resize(
        (width, height), PIL.Image.Resampling.BOX
    )
    return np.clip(np.asarray(picture, dtype=np.float32), 0.0, 1.0)


def _centered(ink: np.ndarray) -> np.ndarray:
    canvas = np.zeros((_SIDE, _SIDE), np.float32)
    corner = []
    for axis, side in enumerate(ink.shape):
        mass = ink.sum(axis=1 - axis)
        center = (mass @ np.arange(side)) / mass.sum() + 0.5
        corner.append(int(np.clip(round(_SIDE / 2 - center), 0, _SIDE - side)))
    top, left = corner
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return canvas


def _read_picture(path: pathlib.Path) -> np.ndarray:
    try:
        with PIL.Image.open(path) as file:
            picture = PIL.ImageOps.exif_transpose(file)
            if picture.mode.startswith("I"):  # 16 bits, which convert clips
                return np.asarray(picture, np.float32)[None] / 65535
            colors = picture.convert("RGBA")
    # SyntaxError is what Pillow raises on a broken PNG chunk.
    except (*_UNREADABLE, PIL.Image.DecompressionBombError) as error:
        raise ValueError(
            f"{path} is not a readable PNG, JPEG or NPY image ({error})"
        ) from error
    white = PIL.Image.new("RGBA", colors.size, "white")
    gray = PIL.Image.alpha_composite(white, colors).convert("L")
    return np.asarray(gray, dtype=np.float32)[None] / np.float32(255)


def _read_npy(path: pathlib.Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (*_UNREADABLE, EOFError) as error:
        raise ValueError(f"{path} is not a readable NPY file") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} is not a readable NPY file")
    if array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or not array.size:
        raise ValueError(
            f"{path} holds an array of shape {array.shape}; expected (h, w), "
            "(n, h, w) or either with a last axis of 1"
        )
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    if array.dtype.kind not in "bfiu":
        raise ValueError(f"{path} holds {array.dtype} values, not numbers")
    array = array.astype(np.float32)
    if not (array.min() >= 0.0 and array.max() <= 1.0):
        raise ValueError(
            f"{path} holds values from {array.min():g} to {array.max():g}; "
            "expected uint8, or floats in [0, 1]"
        )
    return array
