"""Pictures have every tile where it belongs."""

import google.protobuf.text_format
import matplotlib.figure
import numpy as np
import PIL.Image
import pytest
from tensorboard.plugins import projector

from dim_tf import data
from dim_tf import pictures
from dim_tf.training import callbacks

SIDE = 28
# Of 3 and 1 there is a second one, and of most classes there is none.
LABELS = [3, 1, 3, 0, 1]


@pytest.fixture
def examples(generator):
    images = generator.uniform(size=(len(LABELS), SIDE, SIDE, 1))
    return data.Examples(
        images.astype(np.float32), np.array(LABELS), np.arange(len(LABELS))
    )


def tile(picture, row, column, gap=2):
    """A view of one tile."""
    top, left = (number * (SIDE + gap) for number in (row, column))
    return picture[top : top + SIDE, left : left + SIDE]


def stages(images, training=False):
    """Denoises to negatives, and reconstructs the darker the lower a class."""
    assert not training
    shares = np.linspace(0, 1, 10, dtype=np.float32).reshape(1, 10, 1, 1, 1)
    return {
        "denoised": 1.0 - images,
        "reconstructions": shares * images[:, None],
        "scores": np.eye(10)[4 : 4 + len(images)],
    }


def stage_tiles(image):
    """What `stages` makes of an image, in the order that it is drawn in."""
    shares = np.linspace(0, 1, 10)
    return [image, 1 - image, *(share * image for share in shares)]


@pytest.mark.parametrize("gap", [0, 2])
def test_rows_of_images_are_rows_of_tiles(generator, gap):
    images = generator.uniform(size=(3, 4, SIDE, SIDE, 1)).astype(np.float32)
    picture = pictures.rows(*images, gap=gap)
    assert picture.shape == (3 * (SIDE + gap), 4 * (SIDE + gap), 1)
    assert picture.dtype == np.float32
    for row, column in np.ndindex(3, 4):
        found = tile(picture, row, column, gap)
        np.testing.assert_array_equal(found, images[row, column])
        found[:] = 0.5
    # Gray is what lies between them.
    assert (picture == 0.5).all()


def test_tiles_are_between_black_and_white():
    bright = np.full((1, SIDE, SIDE, 1), 7.0)
    picture = pictures.rows(bright, -bright)
    assert (tile(picture, 0, 0) == 1).all()
    assert (tile(picture, 1, 0) == 0).all()


def test_one_of_each_class_is_its_first(examples):
    found = pictures.one_of_each(examples)
    np.testing.assert_array_equal(found.labels, [0, 1, 3])
    np.testing.assert_array_equal(found.rows, [3, 1, 0])
    np.testing.assert_array_equal(found.images, examples.images[[3, 1, 0]])


def test_a_row_has_every_stage_of_a_digit(examples):
    (picture,) = pictures.of_outputs(stages, examples).values()
    assert picture.shape == (3 * (SIDE + 2), 12 * (SIDE + 2), 1)
    for row, index in enumerate([3, 1, 0]):
        for column, wanted in enumerate(stage_tiles(examples.images[index])):
            found = tile(picture, row, column)
            np.testing.assert_allclose(found, wanted, 0, 1e-6)


def test_stages_are_drawn_with_their_scores(monkeypatch, examples):
    drawn = []
    monkeypatch.setattr(
        matplotlib.figure.Figure,
        "savefig",
        lambda figure, *args, **settings: drawn.append(figure),
    )
    images = examples.images[:3]
    names = ["a/one", "two", "$x_$"]  # which TeX could not set
    pictures.draw_stages("x.png", images, names, stages(images))
    axes = np.reshape(drawn[0].axes, (3, 12))
    for number, (row, image) in enumerate(zip(axes, images, strict=True)):
        for axis, wanted in zip(row, stage_tiles(image), strict=True):
            (found,) = axis.images
            np.testing.assert_allclose(
                found.get_array(), wanted[..., 0], 0, 1e-6
            )
            assert found.get_clim() == (0, 1)
        bold = [axis for axis in row if axis.title.get_weight() == "bold"]
        assert bold == [row[2 + 4 + number]]
        assert bold[0].get_title() == f"{4 + number}: 1.00"
    assert [row[0].get_ylabel() for row in axes] == ["one", "two", "$x_$"]
    drawn[0].draw_without_rendering()


@pytest.mark.parametrize(
    ("encoders", "names"),
    [(1, ["encoder"]), (2, ["internal model 0", "internal model 1"])],
)
def test_embeddings_are_of_the_images_beside_them(
    tmp_path, generator, examples, encoders, names
):
    latents = generator.normal(size=(len(LABELS), encoders, 4))
    callbacks.write_embeddings(tmp_path / "run", latents, examples)
    settings = google.protobuf.text_format.Parse(
        (tmp_path / "run" / "projector_config.pbtxt").read_text(),
        projector.ProjectorConfig(),
    )
    assert [each.tensor_name for each in settings.embeddings] == names
    for number, embedding in enumerate(settings.embeddings):
        labels, codes = (
            np.loadtxt(tmp_path / "run" / path, delimiter="\t")
            for path in (embedding.metadata_path, embedding.tensor_path)
        )
        np.testing.assert_array_equal(labels, LABELS)
        np.testing.assert_allclose(codes, latents[:, number], 1e-5)
        assert embedding.sprite.single_image_dim == [SIDE, SIDE]
        path = tmp_path / "run" / embedding.sprite.image_path
        check_sprite(np.asarray(PIL.Image.open(path)), examples.images)


def check_sprite(sheet, images):
    """That it is a square with the negatives, row by row, and black."""
    assert sheet.shape == (3 * SIDE, 3 * SIDE)
    for number, (row, column) in enumerate(np.ndindex(3, 3)):
        wanted = np.zeros((SIDE, SIDE))
        if number < len(images):
            wanted = np.round(255 * (1 - images[number, ..., 0]))
        found = tile(sheet, row, column, gap=0)
        np.testing.assert_allclose(found, wanted, 0, 1)
