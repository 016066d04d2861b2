import eagerpy
import foolbox
import keras
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import SHAPE
from tiny_nets import TinyNet
from tiny_nets import foolbox_model

from dim_tf.attacks import samples

COUNT = 6


@pytest.fixture(scope="module")
def net():
    return TinyNet(COUNT)


@pytest.fixture(scope="module")
def model(net):
    return foolbox_model(net)


@pytest.fixture
def images(net):
    return net.images.numpy()


@pytest.fixture
def labels(net):
    return net.labels.numpy()


KINDS = {
    "numpy": np.asarray,
    "tensorflow": tf.constant,
    "eagerpy_numpy": lambda array: eagerpy.astensor(np.asarray(array)),
    "eagerpy": lambda array: eagerpy.astensor(tf.constant(array)),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("label_type", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize(
    "criterion", [lambda labels: labels, foolbox.Misclassification]
)
def test_arguments_of_every_kind(
    kind, label_type, criterion, model, images, labels
):
    checked = samples.check(
        model,
        kind(images),
        criterion(kind(labels.astype(label_type))),
        starting_points=kind(images[::-1].copy()),
    )
    assert len(checked) == COUNT
    assert checked.shape == SHAPE
    assert not checked.targeted
    rows = checked.rows
    np.testing.assert_array_equal(rows["images"], images.reshape(COUNT, -1))
    assert rows["classes"].dtype == tf.int64
    np.testing.assert_array_equal(rows["classes"], labels)
    np.testing.assert_array_equal(
        rows["starting_points"], images[::-1].reshape(COUNT, -1)
    )


def test_targeted(model, images):
    criterion = foolbox.criteria.TargetedMisclassification(
        tf.constant([1, 0] * 3)
    )
    checked = samples.check(model, images, criterion)
    assert checked.targeted
    np.testing.assert_array_equal(checked.rows["classes"], [1, 0] * 3)


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_floats_become_float32(dtype, model, images, labels):
    checked = samples.check(model, images.astype(dtype), labels)
    assert checked.rows["images"].dtype == tf.float32


def test_seeds_follow_the_pixels(model, images, labels):
    seeds = samples.check(model, images, labels).rows["seeds"].numpy()
    assert len(np.unique(seeds, axis=0)) == COUNT
    order = [3, 0, 5]
    some = samples.check(model, images[order], 0 * labels[order])
    np.testing.assert_array_equal(some.rows["seeds"], seeds[order])
    other = samples.check(model, images, labels, seed=7).rows["seeds"].numpy()
    assert (other != seeds).any(axis=1).all()


def test_take_and_unflatten(model, images, labels):
    checked = samples.check(model, images, labels).take([4, 1])
    assert len(checked) == 2
    restored = checked.unflatten(checked.rows["images"])
    np.testing.assert_array_equal(restored, images[[4, 1]])
    twice = np.zeros((3, 2, 36), np.float32)
    assert checked.unflatten(twice).shape == (3, 2, *SHAPE)


def spoiled(images, value):
    images = images.copy()
    images[2, 3, 3, 0] = value
    return images


MISUSES = {
    "bright": (
        {"inputs": lambda images: spoiled(images, 1.01)},
        r"inputs must lie within the model's bounds \[0, 1\], got .*1\.01",
    ),
    "dark": (
        {"inputs": lambda images: spoiled(images, -0.01)},
        r"inputs must lie within the model's bounds \[0, 1\], got .*-0\.01",
    ),
    "nan": (
        {"inputs": lambda images: spoiled(images, np.nan)},
        r"inputs must lie within the model's bounds \[0, 1\], got .*nan",
    ),
    "int_images": (
        {"inputs": lambda images: images.astype(np.int32)},
        r"inputs must be a batch of .* float image, got int32 \(6, 6, 6, 1\)",
    ),
    "empty": (
        {"inputs": lambda images: images[:0]},
        r"inputs must be a batch of at least one .*got float32 \(0, 6, 6, 1\)",
    ),
    "no_batch": (
        {"inputs": lambda images: images[0, :, 0, 0]},
        r"inputs must be a batch of .*got float32 \(6,\)",
    ),
    "other_shape": (
        {"inputs": lambda images: images[:, :5]},
        r"the model failed on images of shape \(batch, 5, 6, 1\)",
    ),
    "float_labels": (
        {"criterion": lambda labels: labels.astype(np.float32)},
        r"labels must be integers \(6,\), one for each image, got float32",
    ),
    "one_hot_labels": (
        {"criterion": lambda labels: np.eye(3, dtype=np.int64)[labels]},
        r"labels must be integers \(6,\).* got int64 \(6, 3\)",
    ),
    "few_labels": (
        {"criterion": lambda labels: labels[:5]},
        r"labels must be integers \(6,\).* got int64 \(5,\)",
    ),
    "few_labels_in_a_criterion": (
        {"criterion": lambda labels: foolbox.Misclassification(labels[:5])},
        r"labels must be integers \(6,\).* got int64 \(5,\)",
    ),
    "unknown_class": (
        {"criterion": lambda labels: labels + 1},
        r"labels must be classes of the model, 0 to 2, got .* from 1 to 3",
    ),
    "negative_class": (
        {"criterion": lambda labels: labels - 1},
        r"labels must be classes of the model, 0 to 2, got .* from -1 to 1",
    ),
    "unknown_criterion": (
        {
            "criterion": lambda labels: (
                foolbox.Misclassification(labels)
                & foolbox.Misclassification(labels)
            )
        },
        "expected labels, Misclassification or TargetedMisclassification, got",
    ),
    "starting_points_of_another_shape": (
        {"starting_points": lambda images: images[:3]},
        r"starting_points must be of the inputs' shape \(6, 6, 6, 1\), got "
        r"\(3, 6, 6, 1\)",
    ),
    "starting_points_out_of_bounds": (
        {"starting_points": lambda images: images + 1},
        "starting_points must lie within the model's bounds",
    ),
}


@pytest.mark.parametrize(("changes", "message"), MISUSES.values(), ids=MISUSES)
def test_misuse_is_told(changes, message, model, images, labels):
    unchanged = lambda value: value  # noqa: E731
    arguments = {
        "inputs": changes.get("inputs", unchanged)(images),
        "criterion": changes.get("criterion", unchanged)(labels),
        "starting_points": changes.get("starting_points", unchanged)(images),
    }
    with pytest.raises(ValueError, match=message):
        samples.check(model, **arguments)


def test_channels_first_images_for_a_channels_last_model(images, labels):
    inputs = keras.Input(SHAPE)
    scores = keras.layers.Dense(3)(keras.layers.Flatten()(inputs))
    model = foolbox_model(keras.Model(inputs, scores))
    assert len(samples.check(model, images, labels)) == COUNT
    with pytest.raises(
        ValueError,
        match=r"images of shape \(batch, 1, 6, 6\)(.|\n)*channels included",
    ):
        samples.check(model, np.moveaxis(images, 3, 1), labels)


@pytest.mark.parametrize(
    "scores_of",
    [
        lambda images: {"scores": images[:, 0, :3, 0]},
        lambda images: tf.convert_to_tensor(images.numpy()[:, 0, :3, 0]),
        lambda images: tf.ensure_shape(images, (6, *SHAPE))[:, 0, :3, 0],
        lambda images: images,
        lambda images: tf.reduce_mean(images, (1, 2, 3)),
        lambda images: tf.argmax(images[:, 0, :, 0], 1)[:, None],
        lambda images: tf.boolean_mask(
            images[:, 0, :, 0], images[0, 0, :, 0] < 2, axis=1
        ),
        lambda images: tf.reshape(images, (-1, 6)),
    ],
    ids=[
        "dict",
        "not_traceable",
        "fixed_batch",
        "images",
        "one_number",
        "int_scores",
        "unknown_classes",
        "rows_for_images",
    ],
)
def test_model_without_scores_is_told(scores_of, images, labels):
    model = foolbox_model(scores_of)
    with pytest.raises(
        ValueError, match=r"the model .*images of shape \(batch, 6, 6, 1\)"
    ):
        samples.check(model, images[:3], labels[:3])


def test_one_score_is_none_for_each_of_two_classes(images, labels):
    model = foolbox_model(lambda images: images[:, 0, :1, 0])
    with pytest.raises(ValueError, match="put a zero before it"):
        samples.check(model, images, 0 * labels)


def test_probabilities_are_warned_of(images, labels):
    inputs = keras.Input(SHAPE)
    flat = keras.layers.Flatten()(inputs)
    outputs = keras.layers.Dense(3, "softmax")(flat)
    model = foolbox_model(keras.Model(inputs, outputs))
    with pytest.warns(UserWarning, match="ends with a softmax, and attacks"):
        samples.check(model, images, labels)


def test_a_bare_function_is_no_foolbox_model(images, labels):
    with pytest.raises(ValueError, match="expected a foolbox model, such as"):
        samples.check(lambda images: images[:, 0, :3, 0], images, labels)


@pytest.mark.parametrize(
    ("epsilons", "expected"),
    [
        (0.5, ([0.5], False)),
        (None, ([None], False)),
        ([0.5], ([0.5], True)),
        ((1, None, 0), ([1.0, None, 0.0], True)),
        (np.array([0.25, 0.5]), ([0.25, 0.5], True)),
        (np.float32(0.25), ([0.25], False)),
        (np.array(0.25), ([0.25], False)),
        (tf.constant([0.25, 0.5]), ([0.25, 0.5], True)),
        (tf.constant(0.25), ([0.25], False)),
    ],
    ids=repr,
)
def test_epsilons(epsilons, expected):
    assert samples.as_epsilons(epsilons) == expected


@pytest.mark.parametrize(
    "epsilons", [-0.1, np.nan, np.inf, "x", [0.1, -1], [[0.1]], [np.nan]]
)
def test_what_is_no_epsilon_is_told(epsilons):
    with pytest.raises(ValueError, match="epsilons must be finite numbers"):
        samples.as_epsilons(epsilons)


def test_no_epsilons_at_all_are_told():
    with pytest.raises(ValueError, match="at least one epsilon, got none"):
        samples.as_epsilons([])
