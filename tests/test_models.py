import numpy as np
import pytest
import tensorflow as tf

from dim_tf import layers
from dim_tf import models
from dim_tf.models import cnn
from dim_tf.models import dim
from dim_tf.models import saving

DIM_FAMILY = tuple(
    name for name, row in models.MODELS.items() if row.sizes is dim.DimConfig
)
ABS_FAMILY = ("abs", "bi_abs")
PARAMETERS = {
    "dim": 3_782_740,
    "bi_dim": 3_782_740,
    "im": 2_043_140,
    "single_im": 1_127_210,
    "dn_single_im": 2_866_810,
    "cnn": 249_920,
    "bi_cnn": 249_920,
    "madry": 3_274_634,
    "abs": 857_460,
    "bi_abs": 857_460,
}
ENCODERS = {
    "dim": 10,
    "bi_dim": 10,
    "im": 10,
    "single_im": 1,
    "dn_single_im": 1,
}


@pytest.fixture
def images(generator):
    """Black, white and random images."""
    values = generator.uniform(size=(6, 28, 28, 1)).astype(np.float32)
    values[0], values[1] = 0.0, 1.0
    return tf.constant(values)


def test_parameter_counts():
    counts = {name: models.build(name).count_params() for name in models.MODELS}
    assert counts == PARAMETERS


@pytest.mark.parametrize("name", models.MODELS)
def test_output_shapes_and_types(name, images, small_sizes):
    model = models.build(name, small_sizes(name))
    shapes = {"scores": (6, 10)}
    if name in DIM_FAMILY:
        shapes |= {
            "denoised": (6, 28, 28, 1),
            "latents": (6, ENCODERS[name], 4),
            "reconstructions": (6, 10, 28, 28, 1),
        }
    if name in ABS_FAMILY:
        shapes |= {
            "encoded": (6, 10, 4),
            "latents": (6, 10, 4),
            "reconstructions": (6, 10, 28, 28, 1),
        }
    outputs = model(images)
    assert {key: value.shape for key, value in outputs.items()} == shapes
    assert {value.dtype for value in outputs.values()} == {tf.float32}
    for key, value in outputs.items():
        assert (None, *value.shape[1:]) == model.output[key].shape


@pytest.mark.parametrize("name", models.MODELS)
def test_scores_are_finite_and_deterministic(name, images, small_sizes):
    classifier = models.classifier(models.build(name, small_sizes(name)))
    scores = classifier(images)
    assert scores.shape == (6, 10)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(scores, classifier(images))


@pytest.mark.parametrize("name", DIM_FAMILY)
def test_scores_are_the_intensity_ratio(name, images, small_sizes):
    outputs = models.build(name, small_sizes(name))(images)
    own = np.abs(outputs["reconstructions"]).sum(axis=(2, 3, 4))
    total = np.abs(outputs["denoised"]).sum(axis=(1, 2, 3))
    expected = own / np.maximum(total, 1.0)[:, None]
    np.testing.assert_allclose(outputs["scores"], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ["im", "single_im"])
def test_without_denoiser_the_denoised_image_is_the_input(
    name, images, small_sizes
):
    outputs = models.build(name, small_sizes(name))(images)
    np.testing.assert_array_equal(outputs["denoised"], images)


def test_internal_models_do_not_share_weights(images, small_sizes):
    model = models.build("dim", small_sizes("dim"))
    before = model(images)["reconstructions"].numpy()
    for layer in model.get_layer("internal_models").layers:
        if isinstance(layer, layers.ParallelDense):
            kernel = layer.kernel.numpy()
            kernel[(slice(None), 3) if layer.shared else 3] += 1.0
            layer.kernel.assign(kernel)
    after = model(images)["reconstructions"].numpy()
    changed = (before != after).any(axis=(0, 2, 3, 4))
    assert list(np.flatnonzero(changed)) == [3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.entry("resnet"), "'resnet', expected .* dim, bi_dim"),
        (lambda: models.build("resnet"), "'resnet', expected .* dim, bi_dim"),
        (lambda: models.load("resnet"), "'resnet' is neither .* dim, bi_dim"),
        (lambda: models.build("cnn", dim.DimConfig()), "takes a CnnConfig"),
        (lambda: models.build("dim", cnn.CnnConfig()), "takes a DimConfig"),
        (lambda: dim.DimConfig(encoders=3), "encoders must be 1 or 10, got 3"),
        (lambda: dim.DimConfig(latent_units=0), "--latent_units .* at least 1"),
        (
            lambda: models.build("bi_dim", dim.DimConfig(surrogate="soft")),
            "unknown surrogate 'soft', expected one of zero",
        ),
    ],
)
def test_wrong_names_and_sizes(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_untrained_model_says_how_to_train_it(saved_models):
    with pytest.raises(FileNotFoundError, match="dim_tf.train .*flags/im.cfg"):
        models.load("im")


@pytest.mark.parametrize("name", models.MODELS)
def test_save_and_load_of_other_sizes(name, images, small_sizes, tmp_path):
    model = models.build(name, small_sizes(name))
    card = {
        "model": name,
        "weights_digest": saving.digest(model),
        "settings": {"sizes": {}, "dataset": "mnist"},
    }
    saving.write(tmp_path / name, card, model)
    loaded = saving.read_weights(tmp_path / name)
    assert loaded.to_json() == model.to_json()
    expected = model(images)
    for key, value in loaded(images).items():
        np.testing.assert_array_equal(value, expected[key])


@pytest.mark.parametrize("name", ["dim", "bi_dim", "cnn", "bi_cnn"])
def test_load_by_name_and_by_folder(name, images, saved_models):
    outputs = models.load_outputs(name)(images)
    np.testing.assert_array_equal(models.load(name)(images), outputs["scores"])
    np.testing.assert_array_equal(
        models.load(saved_models / name)(images), outputs["scores"]
    )


def binarized(values):
    return tf.cast(values >= 0.5, tf.float32)


def test_bi_cnn_is_the_cnn_on_binarized_images(images, saved_models):
    parent, variant = models.load("cnn"), models.load("bi_cnn")
    assert saving.digest(variant) == saving.digest(parent)
    np.testing.assert_array_equal(variant(images), parent(binarized(images)))
    assert (variant(images).numpy() != parent(images).numpy()).any()


def test_bi_dim_binarizes_image_and_denoised_image(images, saved_models):
    parent, variant = map(models.load_outputs, ("dim", "bi_dim"))
    assert saving.digest(variant) == saving.digest(parent)
    denoised = binarized(parent.get_layer("denoiser")(binarized(images)))
    expected = parent.get_layer("internal_models")(denoised)
    outputs = variant(images)
    np.testing.assert_array_equal(outputs["denoised"], denoised)
    for key, value in expected.items():
        np.testing.assert_array_equal(outputs[key], value)


def score_gradient(model, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        score = model(images)[:, 0]
    return tape.gradient(score, images).numpy()


@pytest.mark.parametrize("name", ["bi_dim", "bi_cnn"])
def test_surrogate_is_chosen_on_load(name, images, saved_models):
    default = models.load(name)
    gradients = {None: score_gradient(default, images)}
    for surrogate in layers.SURROGATES:
        model = models.load(name, surrogate)
        np.testing.assert_array_equal(model(images), default(images))
        gradients[surrogate] = score_gradient(model, images)
    assert not gradients["zero"].any()
    assert gradients["straight_through"].any()
    np.testing.assert_array_equal(gradients["sigmoid"], gradients[None])
    assert (gradients["sigmoid"] != gradients["straight_through"]).any()


@pytest.mark.parametrize(
    ("name", "surrogate", "message"),
    [
        ("dim", "zero", "dim has no binarization.*surrogate='zero'"),
        ("cnn", "zero", "cnn has no binarization.*surrogate='zero'"),
        ("bi_dim", "soft", "unknown surrogate 'soft', expected one of zero"),
        ("bi_cnn", "soft", "unknown surrogate 'soft', expected one of zero"),
    ],
)
def test_useless_surrogates(name, surrogate, message, saved_models):
    with pytest.raises(ValueError, match=message):
        models.load(name, surrogate)
