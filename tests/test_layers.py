import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf import layers


def uniform(generator, *shape):
    return tf.constant(generator.uniform(-1, 1, shape), tf.float32)


def kernel_slices(parallel):
    """The kernels of the layers one by one: `(count, inputs, units)`."""
    return np.moveaxis(parallel.kernel, 1 if parallel.shared else 0, 0)


def as_separate_layers(parallel, inputs, activation):
    """The same computation by one Keras Dense layer per slice."""
    outputs = []
    for index in range(parallel.count):
        dense = keras.layers.Dense(parallel.units, activation)
        one = inputs[:, 0 if inputs.shape[1] == 1 else index]
        dense.build(one.shape)
        dense.set_weights(
            [kernel_slices(parallel)[index], parallel.bias[index]]
        )
        outputs.append((dense, dense(one)))
    denses, values = zip(*outputs, strict=True)
    return denses, tf.stack(values, axis=1)


@pytest.mark.parametrize("activation", [None, "tanh"])
@pytest.mark.parametrize(
    ("count", "slices"),
    [(4, 1), (4, 4), (1, 1)],
    ids=["shared", "per_slice", "single"],
)
def test_parallel_dense_equals_separate_layers(
    generator, count, slices, activation
):
    parallel = layers.ParallelDense(3, count, activation)
    inputs = uniform(generator, 5, slices, 6)
    parallel.build(inputs.shape)
    parallel.bias.assign(uniform(generator, count, 3))
    weights = uniform(generator, 5, count, 3)  # of a loss without symmetry
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        actual = parallel(inputs)
        denses, expected = as_separate_layers(parallel, inputs, activation)
        losses = [
            tf.reduce_sum(weights * value) for value in (actual, expected)
        ]
    assert actual.shape == parallel.compute_output_shape(inputs.shape)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    gradients = [tape.gradient(loss, inputs) for loss in losses]
    np.testing.assert_allclose(*gradients, atol=1e-5)
    axes = {"kernel": 1 if parallel.shared else 0, "bias": 0}
    for name, axis in axes.items():
        slices = [
            tape.gradient(losses[1], getattr(one, name)) for one in denses
        ]
        np.testing.assert_allclose(
            tape.gradient(losses[0], getattr(parallel, name)),
            np.stack(slices, axis),
            atol=1e-5,
        )


def test_parallel_dense_starts_every_slice_like_a_dense_layer():
    parallel = layers.ParallelDense(units=30, count=10)
    parallel.build((None, 1, 50))
    kernel = kernel_slices(parallel)
    limit = np.sqrt(6 / (50 + 30))  # Glorot's, of one slice
    largest = np.abs(kernel).max(axis=(1, 2))
    assert (largest <= limit).all()
    assert (largest > 0.98 * limit).all()
    assert len(np.unique(kernel)) > 0.99 * kernel.size  # no two slices alike
    assert not parallel.bias.numpy().any()


def test_parallel_dense_start_follows_the_global_seed():
    def kernel(seed):
        keras.utils.set_random_seed(seed)
        layer = layers.ParallelDense(2, 3)
        layer.build((None, 1, 4))
        return layer.kernel.numpy()

    np.testing.assert_array_equal(kernel(1), kernel(1))
    assert (kernel(1) != kernel(2)).any()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: layers.ParallelDense(0, 1), "`units` .* received 0"),
        (lambda: layers.ParallelDense(2.0, 1), "`units` .* received 2.0"),
        (lambda: layers.ParallelDense(2, -1), "`count` .* received -1"),
        (lambda: layers.ParallelDense(2, "3"), "`count` .* received '3'"),
        (lambda: layers.IntensityRatio(0.0), "`floor` .* received 0.0"),
        (lambda: layers.IntensityRatio(float("nan")), "`floor` .* nan"),
        (lambda: layers.Binarize("soft"), "'soft', expected one of zero, str"),
        (lambda: layers.Binarize(slope=0.0), "`slope` .* received 0.0"),
    ],
)
def test_bad_arguments(layer, message):
    with pytest.raises(ValueError, match=message):
        layer()


@pytest.mark.parametrize("shape", [(None, 6), (None, 3, 6), (None, 4, 6, 1)])
def test_parallel_dense_rejects_other_shapes(shape):
    with pytest.raises(ValueError, match=r"\(batch, 4, inputs\) or"):
        layers.ParallelDense(2, 4).build(shape)


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (layers.ParallelDense(3, 4, "gelu", name="a"), [(4, 6)]),
        (layers.IntensityRatio(0.25, name="b"), [(3, 4, 4, 1), (4, 4, 1)]),
        (layers.Binarize("straight_through", 0.3, 4.0, name="c"), [(4, 6)]),
    ],
    ids=["parallel_dense", "intensity_ratio", "binarize"],
)
def test_save_and_load(generator, tmp_path, layer, shapes):
    inputs = [keras.Input(shape) for shape in shapes]
    outputs = layer(inputs if len(inputs) > 1 else inputs[0])
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer(layer.name).get_config() == layer.get_config()
    values = [uniform(generator, 5, *shape) for shape in shapes]
    np.testing.assert_array_equal(loaded(values), model(values))
    assert outputs.shape[1:] == model(values).shape[1:]


def test_intensity_ratio_is_equation_3(generator):
    reconstructions = uniform(generator, 5, 3, 4, 4, 1)
    denoised = uniform(generator, 5, 4, 4, 1)
    ratios = layers.IntensityRatio(floor=0.01)([reconstructions, denoised])
    for image in range(5):
        total = np.abs(denoised[image]).sum()
        for index in range(3):
            own = np.abs(reconstructions[image, index]).sum()
            np.testing.assert_allclose(
                ratios[image, index], own / total, rtol=1e-5
            )


def test_intensity_ratio_is_finite_on_black():
    reconstructions = tf.ones((2, 3, 4, 4, 1))
    black = tf.zeros((2, 4, 4, 1))
    with tf.GradientTape() as tape:
        tape.watch([reconstructions, black])
        ratios = layers.IntensityRatio(floor=2.0)([reconstructions, black])
    np.testing.assert_array_equal(ratios, np.full((2, 3), 16 / 2.0))
    for gradient in tape.gradient(ratios, [reconstructions, black]):
        assert np.isfinite(gradient).all()


EDGES = tf.constant(
    [-0.2, 0.0, 0.1, np.nextafter(np.float32(0.5), np.float32(0)), 0.5, 0.7, 1]
)


@pytest.mark.parametrize("surrogate", layers.SURROGATES)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_binarize_is_exact_and_includes_the_threshold(surrogate, compiled):
    layer = layers.Binarize(surrogate)
    binarize = tf.function(layer) if compiled else layer
    np.testing.assert_array_equal(binarize(EDGES), [0, 0, 0, 0, 1, 1, 1])


def test_binarize_at_another_threshold():
    layer = layers.Binarize(threshold=0.1)
    np.testing.assert_array_equal(layer(EDGES), [0, 0, 1, 1, 1, 1, 1])


def sigmoid_slope(values, threshold=0.5, slope=10.0):
    share = 1 / (1 + np.exp(-slope * (values - threshold)))
    return slope * share * (1 - share)


CLOSED_FORMS = {
    "zero": lambda values: 0 * values,
    "straight_through": lambda values: 0 * values + 1,
    "sigmoid": sigmoid_slope,
}


def gradient_of(function, values):
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = tf.reduce_sum(3.0 * function(values))
    return tape.gradient(total, values)


@pytest.mark.parametrize("surrogate", layers.SURROGATES)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_binarize_gradient_is_the_surrogate(surrogate, compiled):
    layer = layers.Binarize(surrogate)
    compute = tf.function(gradient_of) if compiled else gradient_of
    gradient = compute(layer, EDGES)
    assert gradient is not None
    expected = 3.0 * CLOSED_FORMS[surrogate](EDGES.numpy())
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_binarize_gradient_takes_threshold_and_slope():
    layer = layers.Binarize("sigmoid", threshold=0.2, slope=3.0)
    expected = 3.0 * sigmoid_slope(EDGES.numpy(), threshold=0.2, slope=3.0)
    np.testing.assert_allclose(gradient_of(layer, EDGES), expected, rtol=1e-5)


@pytest.mark.parametrize("surrogate", layers.SURROGATES)
def test_binarize_after_export_as_saved_model(tmp_path, surrogate):
    images = keras.Input((7,))
    model = keras.Model(images, layers.Binarize(surrogate)(images))
    model.export(tmp_path / "exported", verbose=False)
    serve = tf.saved_model.load(str(tmp_path / "exported")).serve
    row = EDGES[None]
    np.testing.assert_array_equal(serve(row), [[0, 0, 0, 0, 1, 1, 1]])
    np.testing.assert_allclose(
        gradient_of(serve, row), gradient_of(model, row), rtol=1e-5
    )
