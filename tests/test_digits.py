"""Reading image files the way MNIST was made."""

import numpy as np
import PIL.Image
import pytest

from dim_tf import digits


def stroke(height=80, width=60):
    """A bright, upright bar on black, off center."""
    image = np.zeros((height, width), np.float32)
    image[10:50, 30:38] = 0.9
    return image


def check_centered_bar(image):
    assert image.shape == (28, 28)
    assert image.dtype == np.float32
    rows, columns = np.nonzero(image > 0.5)
    assert rows.max() - rows.min() + 1 == 20
    assert columns.max() - columns.min() + 1 == 4
    mass = image / image.sum()
    axis = np.arange(28) + 0.5
    np.testing.assert_allclose(mass.sum(1) @ axis, 14, atol=0.5)
    np.testing.assert_allclose(mass.sum(0) @ axis, 14, atol=0.5)
    assert 0.9 < image.max() <= 1.0


@pytest.mark.parametrize("invert", [False, True], ids=["bright", "dark"])
def test_any_size_is_scaled_and_centered(invert):
    image = 1 - stroke() if invert else stroke()
    check_centered_bar(digits.normalize(image))


def test_images_of_the_right_size_are_kept():
    image = np.zeros((28, 28), np.float32)
    image[3:9, 2:5] = 0.4  # neither centered nor white
    np.testing.assert_array_equal(digits.normalize(image), image)
    np.testing.assert_allclose(digits.normalize(1 - image), image, atol=1e-6)


def test_a_colored_background_is_no_ink():
    image = 0.2 + 0.7 * (stroke() > 0)
    check_centered_bar(digits.normalize(image.astype(np.float32)))


@pytest.mark.parametrize("paper", [0.3, 0.45, 0.55, 0.8])
def test_dark_ink_on_grey_paper(paper, generator):
    image = np.where(stroke() > 0, 0.05, paper)
    image += generator.uniform(-0.02, 0.02, image.shape)
    check_centered_bar(digits.normalize(image.astype(np.float32)))


@pytest.mark.parametrize("scale", [1, 12])
def test_a_photograph_may_have_shadows_and_specks(scale, generator):
    ink = np.kron(stroke() > 0, np.ones((scale, scale), bool))
    y, x = np.mgrid[: 1 : ink.shape[0] * 1j, : 1 : ink.shape[1] * 1j]
    light = 0.85 - 0.25 * x - 0.1 * y
    # A corner in the shade of a hand, with a soft edge.
    light -= 0.2 / (1 + np.exp(-20 * (x + y - 1.5)))
    image = np.where(ink, 0.15, light)
    image[-3 * scale, 2 * scale] = 0.1
    image += generator.uniform(-0.02, 0.02, image.shape)
    check_centered_bar(digits.normalize(image.astype(np.float32)))


def test_shaded_paper_without_a_digit_is_blank():
    y, x = np.mgrid[:1:60j, :1:80j]
    paper = (0.9 - 0.4 * x - 0.1 * y).astype(np.float32)
    with pytest.raises(ValueError, match="is blank"):
        digits.normalize(paper)


def test_photographs_are_turned_upright(tmp_path):
    upright = PIL.Image.fromarray((255 * (1 - stroke())).astype(np.uint8))
    sideways = upright.transpose(PIL.Image.Transpose.ROTATE_90)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    sideways.save(tmp_path / "bar.png", exif=exif)
    (image,) = digits.read(tmp_path / "bar.png")
    check_centered_bar(image[..., 0])


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("side", [28, 50])
def test_blank_images_are_refused(value, side):
    with pytest.raises(ValueError, match="scan is blank"):
        digits.normalize(np.full((side, side), value, np.float32), "scan")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_picture_modes(tmp_path, mode, suffix):
    if suffix == "jpg" and mode not in ("L", "RGB"):
        pytest.skip("JPEG has no such mode")
    picture = PIL.Image.fromarray((255 * (1 - stroke())).astype(np.uint8))
    if mode == "I;16":
        array = (65535 * (1 - stroke())).astype(np.uint16)
        picture = PIL.Image.fromarray(array)
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / f"bar.{suffix}")
    (image,) = digits.read(tmp_path / f"bar.{suffix}")
    check_centered_bar(image[..., 0])


def test_transparency_is_paper(tmp_path):
    ink = np.zeros((80, 60, 4), np.uint8)
    ink[10:50, 30:38, 3] = 255  # black, opaque
    PIL.Image.fromarray(ink).save(tmp_path / "bar.png")
    (image,) = digits.read(tmp_path / "bar.png")
    check_centered_bar(image[..., 0])


@pytest.mark.parametrize(
    ("shape", "count"),
    [((28, 28), 1), ((28, 28, 1), 1), ((3, 28, 28), 3), ((3, 28, 28, 1), 3)],
)
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_npy_files_have_their_values(tmp_path, generator, shape, count, dtype):
    array = np.zeros((count, 28, 28), np.uint8)
    array[:, 4:24, 4:24] = generator.integers(0, 256, (count, 20, 20))
    given = array if dtype == "uint8" else (array / 255).astype(dtype)
    np.save(tmp_path / "digits.npy", given.reshape(shape))
    images = digits.read(tmp_path / "digits.npy")
    assert images.shape == (count, 28, 28, 1)
    assert images.dtype == np.float32
    # float16 has no more digits.
    np.testing.assert_allclose(images[..., 0], array / 255, 0, 3e-4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((28,)), r"shape \(28,\)"),
        (np.zeros((0, 28, 28)), r"shape \(0, 28, 28\)"),
        (np.full((28, 28), 2.0), "values from 2 to 2"),
        (np.full((28, 28), np.nan), "values from nan to nan"),
        (np.array(["7"] * 4).reshape(2, 2), "<U1 values, not numbers"),
    ],
    ids=["vector", "empty", "range", "nan", "text"],
)
def test_bad_arrays_are_refused(tmp_path, array, message):
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(ValueError, match=message):
        digits.read(tmp_path / "bad.npy")


def test_pickles_are_refused(tmp_path):
    np.save(tmp_path / "bad.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="not a readable NPY file"):
        digits.read(tmp_path / "bad.npy")


def test_archives_are_no_arrays(tmp_path):
    np.savez(tmp_path / "bad.npz", digits=np.zeros((28, 28)))
    (tmp_path / "bad.npz").rename(tmp_path / "bad.npy")
    with pytest.raises(ValueError, match="not a readable NPY file"):
        digits.read(tmp_path / "bad.npy")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image file .*seven\.png"):
        digits.read(tmp_path / "seven.png")
