import keras
import numpy as np
import pytest

from dim_tf import data
from dim_tf import metrics
from dim_tf import models
from dim_tf.evaluation import first_look

BUDGETS = ["l2_1.5", "linf_0.2", "linf_0.3", "l0_12"]
LIVE = 100  # pixels that the linear model looks at


def linear_model(kernel, bias):
    images = keras.Input((28, 28, 1))
    dense = keras.layers.Dense(10)
    scores = dense(keras.layers.Flatten()(images))
    dense.set_weights([kernel, bias])
    return keras.Model(images, {"scores": scores})


def examples_of(images, labels):
    return data.Examples(
        np.asarray(images, np.float32),
        np.asarray(labels, np.int64),
        np.arange(len(labels)),
    )


def test_constant_model_is_as_robust_as_it_is_right(generator):
    model = linear_model(np.zeros((784, 10)), np.eye(10)[3])
    images = generator.uniform(size=(5, 28, 28, 1))
    examples = examples_of(images, [3, 0, 3, 9, 3])
    robust = first_look.robust_accuracies("cnn", model, examples)
    assert robust == dict.fromkeys(BUDGETS, 0.6)


def test_linear_model_has_its_closed_form_robustness():
    """Class 1 wins where 100 pixels are brighter than 0.5 on average."""
    kernel = np.zeros((784, 10))
    kernel[:LIVE, 1] = 1.0
    bias = np.full(10, -1000.0)
    bias[:2] = 0.0, -0.5 * LIVE
    model = linear_model(kernel, bias)
    # The distances of an image of brightness v from class 1: Linf 0.5 - v,
    # L2 ten times that, and (50 - 100 v) / (1 - v) pixels.
    brightness = np.array([0.6, 0.45, 0.4, 0.25, 0.1])
    images = np.zeros((5, 784))
    images[:, :LIVE] = brightness[:, None]
    examples = examples_of(images.reshape(5, 28, 28, 1), [0] * 5)
    assert first_look.robust_accuracies("cnn", model, examples) == {
        "l2_1.5": 0.4,  # distances 0 (misclassified), 0.5, 1, 2.5, 4
        "linf_0.2": 0.4,  # 0, 0.05, 0.1, 0.25, 0.4
        "linf_0.3": 0.2,
        "l0_12": 0.6,  # 0, 10, 17, 34, 45
    }


@pytest.mark.parametrize("name", ["im", "bi_dim"])
def test_robust_accuracy_is_at_most_the_clean_one(name, small_sizes, generator):
    model = models.build(name, small_sizes(name))
    images = generator.uniform(size=(4, 28, 28, 1)).astype(np.float32)
    labels = np.argmax(model(images)["scores"], axis=1)
    labels[0] = (labels[0] + 1) % 10
    robust = first_look.robust_accuracies(
        name, model, examples_of(images, labels)
    )
    assert list(robust) == BUDGETS
    for value in robust.values():
        assert value in (0.0, 0.25, 0.5, 0.75)
    assert robust["linf_0.3"] <= robust["linf_0.2"]


def test_all_misclassified_is_no_robustness():
    model = linear_model(np.zeros((784, 10)), np.eye(10)[3])
    examples = examples_of(np.zeros((2, 28, 28, 1)), [1, 2])
    robust = first_look.robust_accuracies("cnn", model, examples)
    assert robust == dict.fromkeys(BUDGETS, 0.0)


def test_nan_scores_are_not_correct(monkeypatch):
    monkeypatch.setattr(first_look, "BUDGETS", (("l0", 12.0),))
    bias = np.eye(10)[3]
    bias[7] = np.nan
    model = linear_model(np.zeros((784, 10)), bias)
    examples = examples_of(np.zeros((2, 28, 28, 1)), [3, 3])
    assert metrics.accuracy(model, examples) == 0.0
    robust = first_look.robust_accuracies("cnn", model, examples)
    assert robust == {"l0_12": 0.0}
