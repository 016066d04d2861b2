"""Third-party models that are random, saturated, gray, or seem to be others."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_nets import foolbox_model

from dim_tf import attacks
from dim_tf import data
from dim_tf import models
from dim_tf.evaluation import fitness
from dim_tf.evaluation import targets
from dim_tf.models import foreign
from dim_tf.models import wrapping

SHAPE = (6, 5, 3)
PROBABILITIES = wrapping.Reading(probabilities=True)


@pytest.fixture
def images(generator):
    return generator.uniform(size=(14, *SHAPE)).astype(np.float32)


def examples_of(model, images):
    """Images whose labels are a model's own predictions."""
    labels = np.argmax(model(images), 1)
    return data.Examples(images, labels, np.arange(len(images)))


def scores_of(inputs, activation=None):
    hidden = keras.layers.Flatten()(inputs)
    return keras.layers.Dense(4, activation)(hidden)


def saved(model, path):
    """Path of a Keras file, or of a SavedModel where it has no suffix."""
    if path.suffix:
        model.save(path)
    else:
        model.export(path, verbose=False)
    return path


def loaded(path, reading=wrapping.PLAIN):
    return targets.find(str(path), reading).load()


def noisy_model():
    inputs = keras.Input(SHAPE)
    noisy = keras.layers.GaussianNoise(0.1)(inputs, training=True)
    return keras.Model(inputs, scores_of(noisy))


def test_a_random_model_is_refused(images, tmp_path):
    model = noisy_model()
    examples = examples_of(model, images)
    path = saved(model, tmp_path / "dice")
    message = r"'dice' gives other scores when it is asked again, .*\(7 of 7 .*"
    with pytest.raises(ValueError, match=message + "average over draws"):
        fitness.check(loaded(path), examples)


def test_attacks_and_judge_see_one_model(images, tmp_path):
    """Noise that a Keras file can do without is in neither's scores."""
    model = loaded(saved(noisy_model(), tmp_path / "m.keras"))
    examples = examples_of(models.classifier(model), images)
    assert fitness.check(model, examples) == 1
    fmodel = foolbox_model(models.classifier(model))
    np.testing.assert_array_equal(fmodel(images), fmodel(images))


class Drift(keras.layers.Layer):
    """Scales its inputs by a little more every time."""

    def __init__(self, step):
        super().__init__()
        self.step = step
        self.calls = tf.Variable(0.0, trainable=False)

    def call(self, inputs):
        return inputs * (1 + self.step * self.calls.assign_add(1.0))


class OfTheBatch(keras.layers.Layer):
    """Normalizes as in training, by what happens to be in a batch."""

    def call(self, inputs):
        return inputs - keras.ops.mean(inputs, axis=0)


@pytest.mark.parametrize("count", [1, 14, 2_000])
def test_scores_of_an_image_must_not_depend_on_others(count, images):
    images = np.resize(images, (count, *SHAPE))
    inputs = keras.Input(SHAPE)
    scores = OfTheBatch()(scores_of(inputs))
    model = keras.Model(inputs, {"scores": scores}, name="mixes")
    examples = examples_of(models.classifier(model), images)
    with pytest.raises(ValueError, match="'mixes' gives other .*normalization"):
        fitness.check(model, examples)


def test_coarse_probabilities_are_refused_too(images):
    inputs = keras.Input(SHAPE)
    coarse = keras.ops.softmax(keras.ops.cast(scores_of(inputs), "bfloat16"))
    scores = {"scores": keras.ops.cast(coarse, "float32") + 2e-3 / 3}
    model = keras.Model(inputs, scores, name="coarse")
    examples = examples_of(models.classifier(model), images)
    with pytest.raises(ValueError, match="'coarse' gives probabilities"):
        fitness.check(model, examples)


def test_scores_may_differ_by_rounding(images):
    inputs = keras.Input(SHAPE)
    plain = keras.Model(inputs, scores_of(inputs))
    examples = examples_of(plain, images)
    for step in (1e-5, 1e-2):
        scores = {"scores": Drift(step)(plain.output)}
        model = keras.Model(inputs, scores, name="drifts")
        if step == 1e-5:
            # As on accelerators, which add up in any order.
            assert fitness.check(model, examples) == 1
        else:
            with pytest.raises(ValueError, match="'drifts' gives other scores"):
                fitness.check(model, examples)


def test_a_class_that_is_masked_out_hides_no_other_scores(images):
    inputs = keras.Input(SHAPE)
    plain = keras.Model(inputs, scores_of(inputs))
    scores = keras.ops.pad(
        Drift(1e-2)(plain.output), [[0, 0], [0, 1]], constant_values=-1e9
    )
    model = keras.Model(inputs, {"scores": scores}, name="drifts")
    with pytest.raises(ValueError, match="'drifts' gives other scores"):
        fitness.check(model, examples_of(plain, images))


@pytest.mark.parametrize("kind", [list, tuple])
def test_one_output_in_a_list_is_an_output(kind, images, tmp_path):
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, kind([scores_of(inputs)]))
    scores = loaded(saved(model, tmp_path / "one.keras"))(images)["scores"]
    (expected,) = tf.nest.flatten(model(images))
    np.testing.assert_allclose(scores, expected, 1e-5, 1e-6)
    outputs = [scores_of(inputs), scores_of(inputs)]
    path = saved(keras.Model(inputs, outputs), tmp_path / "two.keras")
    with pytest.raises(ValueError, match="two.keras has 2 outputs without na"):
        loaded(path)


@pytest.mark.parametrize("name", ["m.keras", "m"])
def test_logits_are_no_probabilities(name, images, tmp_path):
    inputs = keras.Input(SHAPE)
    logits = scores_of(inputs)
    for outputs in (logits, keras.ops.exp(logits)):
        model = keras.Model(inputs, outputs)
        path = saved(model, tmp_path / name)
        with pytest.raises(ValueError, match="'m' gives no probab.*leave out"):
            fitness.check(
                loaded(path, PROBABILITIES), examples_of(model, images)
            )


def test_a_signature_is_of_a_saved_model(images, tmp_path):
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, scores_of(inputs))
    reading = wrapping.Reading(signature="serve")
    for suffix in ("keras", "h5"):
        path = tmp_path / f"m.{suffix}"
        path.write_bytes(b"never read")
        with pytest.raises(ValueError, match="=serve is for SavedModels, and"):
            targets.find(str(path), reading)
    outputs = loaded(saved(model, tmp_path / "m"), reading)(images)
    np.testing.assert_allclose(outputs["scores"], model(images), 1e-5, 1e-6)


@pytest.mark.parametrize("name", ["gray.keras", "gray"])
def test_gray_models_take_gray_images(name, images, tmp_path):
    inputs = keras.Input(SHAPE[:2])
    model = keras.Model(inputs, scores_of(inputs))
    gray = loaded(saved(model, tmp_path / name), wrapping.Reading((-1.0, 1.0)))
    assert gray.input_shape == (None, 6, 5, 1)
    expected = examples_of(model, 2 * images[..., 0] - 1)
    examples = data.Examples(images[..., :1], expected.labels, expected.rows)
    assert fitness.check(gray, examples) == 1
    with pytest.raises(ValueError, match=r"takes images \(6, 5, 1\), got"):
        fitness.check(gray, data.Examples(images, *[examples.labels] * 2))


def test_how_to_wrap_a_model_of_pixels_in_a_row(images, tmp_path):
    inputs = keras.Input((90,))
    model = keras.Model(inputs, keras.layers.Dense(4)(inputs))
    message = r"takes inputs \(90,\); .*keras.layers.Reshape\(\(90,\)\), model"
    with pytest.raises(ValueError, match=message):
        loaded(saved(model, tmp_path / "row.keras"))
    wrapped = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Reshape((90,)), model]
    )
    scores = loaded(saved(wrapped, tmp_path / "m.keras"))(images)["scores"]
    np.testing.assert_allclose(scores, wrapped(images), 1e-5, 1e-6)
    inputs = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    path = saved(keras.Model(inputs, pooled), tmp_path / "any.keras")
    with pytest.raises(ValueError, match=r"channels\)\), model\]"):
        loaded(path)


def dense_softmax(inputs):
    return scores_of(inputs, "softmax")


def softmax_layer(inputs):
    return keras.layers.Softmax()(scores_of(inputs))


def activation_layer(inputs):
    return keras.layers.Activation("softmax")(scores_of(inputs))


def sequential(inputs):
    layers = [keras.layers.Flatten(), keras.layers.Dense(4, "softmax")]
    return keras.Sequential([inputs, *layers])


def make_steep(model):
    """Class 0 leads by 200 on white, and class 1 on black."""
    weights, bias = model.get_weights()
    weights[:], bias[:] = 0.0, [-200.0, 200.0, -900.0, -900.0]
    weights[:, 0], weights[:, 1] = 400 / 90, -400 / 90
    model.set_weights([weights, bias])


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(
    "make", [dense_softmax, softmax_layer, activation_layer, sequential]
)
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_saturated_softmaxes_have_gradients(make, suffix, images, tmp_path):
    inputs = keras.Input(SHAPE)
    outputs = make(inputs)
    sure = isinstance(outputs, keras.Model)
    model = outputs if sure else keras.Model(inputs, outputs)
    make_steep(model)
    path = saved(model, tmp_path / f"soft.{suffix}")
    soft = loaded(path, PROBABILITIES)
    images = (0.8 + 0.2 * images).astype(np.float32)
    examples = examples_of(model, images)
    assert fitness.check(soft, examples) == 1
    tensor = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        scores = soft(tensor)["scores"]
        margins = scores[:, 0] - scores[:, 1]
    assert np.min(margins) > 200
    gradients = tape.gradient(margins, tensor)
    np.testing.assert_allclose(gradients, 800 / 90 + 0 * images, 1e-5)
    _, found, success = attacks.LInfFMNAttack(steps=30)(
        foolbox_model(models.classifier(soft)),
        images,
        examples.labels,
        epsilons=None,
    )
    assert np.all(success)
    # Class 1 is ahead where the mean is below a half.
    np.testing.assert_array_equal(np.argmax(model(found), 1), 1)


def cut_off_softmax(inputs):
    return keras.layers.Identity()(softmax_layer(inputs))


def shared_softmax(inputs):
    layer = keras.layers.Activation("softmax")
    return layer(100 * layer(scores_of(inputs)))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("m.keras", cut_off_softmax),
        ("m.keras", shared_softmax),
        ("m", softmax_layer),
    ],
)
def test_other_probabilities_are_read_by_their_logarithms(
    name, make, images, tmp_path
):
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, make(100 * inputs))
    read = loaded(saved(model, tmp_path / name), PROBABILITIES)
    assert fitness.check(read, examples_of(model, images)) == 1
    least = np.finfo(np.float32).tiny
    expected = np.log(np.maximum(model(images), least))
    np.testing.assert_allclose(read(images)["scores"], expected, 1e-3, 1e-3)


def test_rows_without_finite_scores_are_named(images):
    inputs = keras.Input(SHAPE)
    scores = scores_of(inputs) + 0 * keras.ops.log(inputs[:, 0, 0, :1] - 1)
    model = keras.Model(inputs, {"scores": scores}, name="sick")
    images[:, 0, 0, 0] = 2
    rows = np.arange(14) + 100

    def check():
        fitness.check(model, data.Examples(images, 0 * rows, rows))

    images[3:6, 0, 0, 0] = 0
    message = "not finite on 3 of 14 clean images .row 103, row 104, row 105.;"
    with pytest.raises(ValueError, match=message):
        check()
    images[:, 0, 0, 0] = 0
    with pytest.raises(ValueError, match=r"14 of 14 .*row 109, \.\.\."):
        check()


def test_what_is_no_npz_file_of_images(tmp_path):
    path = tmp_path / "images.npz"
    expected = r"images.npz must be an .npz file with arrays `images` and .*"
    images = np.zeros((2, 3, 4), np.uint8)
    np.save(tmp_path / "one.npy", images)
    np.savez(tmp_path / "xy.npz", x=images, y=[0, 1])
    np.savez(tmp_path / "none.npz")
    for content, found in (
        ((tmp_path / "one.npy").read_bytes(), r"one array, uint8 \(2, 3, 4\)"),
        (b"1 2 3 4 5 6", "a file that starts with b'1 2 3 '"),
        (b"", "a file that starts with b''"),
        ((tmp_path / "xy.npz").read_bytes(), "x, y in it"),
        ((tmp_path / "none.npz").read_bytes(), "nothing in it"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{expected}: found {found}"):
            foreign.images_of(path)
    np.savez_compressed(path, images=images, labels=[0, 1])
    content = bytearray(path.read_bytes())
    content[content.index(b"images.npy") + 36] ^= 255  # not of zip alone
    path.write_bytes(content)
    with pytest.raises(ValueError, match=expected):
        foreign.images_of(path)
