"""What attacks make of models: foolbox's, SavedModels, hostile ones."""

import foolbox
import numpy as np
import pytest
import tensorflow as tf
from closed_forms import PIXELS
from closed_forms import SHAPE
from closed_forms import constant
from closed_forms import flat
from closed_forms import linear
from closed_forms import not_a_number
from tiny_attacks import Noise
from tiny_attacks import Replace
from tiny_nets import TinyNet
from tiny_nets import foolbox_model

from dim_tf import models
from dim_tf.attacks import gradient_descent
from dim_tf.attacks.decaying_descent import DecayingDescentAttack
from dim_tf.attacks.greedy_pixels import GreedyPixelsAttack

EPSILONS = {"l0": 4, "l1": 2.0, "l2": 1.0, "linf": 0.3}
ATTACKS = (
    gradient_descent.L1FastGradientAttack(),
    gradient_descent.L2BasicIterativeAttack(steps=3),
    gradient_descent.LinfProjectedGradientDescentAttack(steps=3),
    gradient_descent.SparseL1DescentAttack(steps=3),
    DecayingDescentAttack(norm="l2", steps=3),
    GreedyPixelsAttack(steps=3),
    Noise(),
    Replace(),
)
BIM = gradient_descent.LinfBasicIterativeAttack()
FGM = gradient_descent.LinfFastGradientAttack()


def name_of(attack):
    return type(attack).__name__


@pytest.fixture(scope="module")
def net():
    return TinyNet(6)


def check_outcomes(outcome, expected, scale=1.0):
    for found, wanted in zip(outcome[:2], expected[:2], strict=True):
        np.testing.assert_allclose(found, scale * wanted, atol=1e-5 * scale)
    np.testing.assert_array_equal(outcome[2], expected[2])


@pytest.mark.parametrize("attack", [FGM, Replace()], ids=name_of)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_model_is_traced_once(attack, jit_compile, net):
    traces = []

    def score(images):
        traces.append(images)
        return net(images)

    model = foolbox_model(score)
    images, labels = net.images, net.labels

    def run(count, epsilons, **settings):
        again = type(attack)(jit_compile=jit_compile, **settings)
        again(model, images[:count], labels[:count], epsilons=epsilons)
        return len(traces)

    first = run(6, 0.1)
    assert first <= 8
    for count, epsilons in ((6, [0.1, 0.2, 0.5]), (1, 0.3), (4, [0.7] * 40)):
        assert run(count, epsilons) == first
    assert run(3, 0.1, seed=3) == first


def test_bounds_are_the_models(net):
    expected = BIM(foolbox_model(net), net.images, net.labels, epsilons=0.2)
    assert 0 < np.sum(expected[2]) < 6
    model = foolbox_model(lambda images: net((images + 1) / 2), (-1, 1))
    outcome = BIM(model, 2 * net.images - 1, net.labels, epsilons=0.4)
    shifted = [2 * expected[0] - 1, 2 * expected[1] - 1, expected[2]]
    check_outcomes(outcome, shifted)


def test_preprocessing_is_the_models(net):
    expected = BIM(foolbox_model(net), net.images, net.labels, epsilons=0.2)
    mean = np.array([51.0], np.float32)
    std = np.array([255.0], np.float32)
    model = foolbox.TensorFlowModel(
        lambda images: net(images + 0.2),
        bounds=(0, 255),
        device="/CPU:0",
        preprocessing={"mean": mean, "std": std, "axis": -1},
    )
    outcome = BIM(model, 255 * net.images, net.labels, epsilons=51)
    check_outcomes(outcome, expected, 255)


def test_bounds_that_change_in_place(net):
    model = foolbox_model(net)
    expected = BIM(model, net.images, net.labels, epsilons=0.2)
    model.transform_bounds((0, 100), inplace=True)
    outcome = BIM(model, 100 * net.images, net.labels, epsilons=20)
    check_outcomes(outcome, expected, 100)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_saved_model_is_a_model(jit_compile, net, tmp_path):
    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.first = tf.Variable(net.first)
            self.second = tf.Variable(net.second)

        @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE))])
        def serve(self, images):
            pixels = tf.reshape(images, (-1, PIXELS))
            hidden = tf.tanh((pixels - 0.5) @ self.first)
            return {"scores": hidden @ self.second}

    module = Module()
    tf.saved_model.save(module, tmp_path, signatures={"serve": module.serve})
    loaded = tf.saved_model.load(tmp_path)
    serve = loaded.signatures["serve"]
    attack = gradient_descent.L2FastGradientAttack(jit_compile=jit_compile)
    expected = gradient_descent.L2FastGradientAttack()(
        foolbox_model(net), net.images, net.labels, epsilons=1.0
    )
    for call in (module.serve, lambda images: serve(images=images)):
        model = foolbox_model(lambda images, call=call: call(images)["scores"])
        outcome = attack(model, net.images, net.labels, epsilons=1.0)
        check_outcomes(outcome, expected)


def test_a_models_classifier(small_sizes, generator):
    """foolbox's own attacks and ours see a binarized model's surrogate."""
    classifier = models.classifier(
        models.build("bi_dim", small_sizes("bi_dim"))
    )
    images = tf.constant(generator.uniform(size=(4, 28, 28, 1)), tf.float32)
    labels = tf.argmax(classifier(images), 1)
    model = foolbox_model(classifier)
    name = "LinfBasicIterativeAttack"
    for attacks in (foolbox.attacks, gradient_descent):
        _, found, success = getattr(attacks, name)(steps=3)(
            model, images, labels, epsilons=0.3
        )
        assert (found != images).numpy().any()
        predictions = tf.argmax(classifier(found), 1)
        np.testing.assert_array_equal(success, predictions != labels)


def no_gradient(images):
    return tf.one_hot(0 * tf.argmax(images[:, 0, :, 0], 1), 3)


HOSTILE = (constant, flat, not_a_number, no_gradient)


@pytest.mark.parametrize("attack", ATTACKS, ids=name_of)
@pytest.mark.parametrize("score", HOSTILE)
def test_hostile_models(attack, score, generator):
    images = generator.uniform(size=(3, *SHAPE)).astype(np.float32)
    raw, clipped, success = attack(
        foolbox_model(score),
        images,
        np.zeros(3, np.int64),
        epsilons=EPSILONS[attack.norm],
    )
    assert not success.numpy().any()
    for answer in (raw.numpy(), clipped.numpy()):
        assert np.isfinite(answer).all()
        assert answer.min() >= 0
        assert answer.max() <= 1


@pytest.mark.parametrize(
    "attack",
    [
        *ATTACKS[:-1],
        gradient_descent.LinfFastGradientAttack(jit_compile=True),
    ],
    ids=name_of,
)
def test_hostile_neighbors_change_nothing(attack, weights, generator):
    """White pixels in a row that no attack looks at spoil an image."""
    images = generator.uniform(0.35, 0.65, (6, *SHAPE)).astype(np.float32)
    images[:, 0, :, 0] = 0.5
    images[1, 0, 0, 0] = images[3, 0, 1, 0] = images[4, 0, 2, 0] = 1.0
    weights[:6] = 0.0
    offset = np.max(images.reshape(6, -1) @ weights) + 0.2
    score = linear(weights, offset)

    def spoiled(images):
        signs = images[:, 0, :, 0, None] == 1.0
        scores = score(images)
        scores = tf.where(signs[:, 0], np.nan * scores, scores)
        scores = tf.where(signs[:, 1], tf.stop_gradient(scores), scores)
        return tf.where(signs[:, 2], [[0.0, 1.0]], scores)

    model = foolbox_model(spoiled)
    labels = np.zeros(6, np.int64)
    epsilons = np.array([0.3, 0.6, 1.0]) * EPSILONS[attack.norm]
    outcome = attack(model, images, labels, epsilons=epsilons)
    good = [0, 2, 5]
    alone = attack(model, images[good], labels[good], epsilons=epsilons)
    for found, wanted in zip(outcome, alone, strict=True):
        assert np.isfinite(found).all()
        of_good = np.stack(found)[:, good]
        np.testing.assert_allclose(of_good, np.stack(wanted), atol=1e-6)
