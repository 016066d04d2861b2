import eagerpy
import foolbox
import numpy as np
import pytest
from closed_forms import SHAPE
from closed_forms import not_a_number
from closed_forms import sizes
from tiny_nets import MODEL
from tiny_nets import NET
from tiny_nets import foolbox_model

from dim_tf.attacks.criteria import MarginMisclassification
from dim_tf.attacks.dataset import DatasetAttack


def fed_attack(images, distance=foolbox.distances.l2, model=MODEL):
    attack = DatasetAttack(distance=distance)
    attack.feed(model, images[:20])
    attack.feed(model, images[20:])
    return attack


@pytest.fixture
def fed(generator):
    noise = generator.uniform(-0.3, 0.3, (120, *SHAPE))
    images = np.tile(NET.images, (15, 1, 1, 1)) + noise
    return np.clip(images, 0, 1).astype(np.float32)


@pytest.mark.parametrize("norm", ["l0", "l1", "l2", "linf"])
def test_the_closest_image_of_another_class_is_taken(fed, norm):
    fed[::2, :2] = np.tile(NET.images, (15, 1, 1, 1))[1::2, :2]
    distance = getattr(foolbox.distances, norm)
    adversarials, _, success = fed_attack(fed, distance)(
        MODEL, NET.images, NET.labels, epsilons=None
    )
    assert success.numpy().all()
    predictions = np.argmax(NET(fed), 1)
    for image, label, adversarial in zip(
        NET.images.numpy(), NET.labels, adversarials.numpy(), strict=True
    ):
        others = fed[predictions != label]
        closest = others[np.argmin(sizes(norm, others - image))]
        np.testing.assert_array_equal(adversarial, closest)


def test_a_target_is_reached(fed):
    targets = (NET.labels + 1) % 3
    criterion = foolbox.criteria.TargetedMisclassification(targets)
    adversarials, _, success = fed_attack(fed)(
        MODEL, NET.images, criterion, epsilons=None
    )
    assert success.numpy().all()
    np.testing.assert_array_equal(np.argmax(NET(adversarials), 1), targets)


def test_a_margin_is_asked_of_what_is_proposed(fed):
    labels = NET.labels.numpy()
    scores = NET(fed).numpy()
    own = scores[:, labels].T
    best_other = [np.delete(scores, label, 1).max(1) for label in labels]
    ahead = np.array(best_other) - own
    margins = np.nanmedian(np.where(ahead > 0, ahead, np.nan), 1)
    adversarials, _, success = fed_attack(fed)(
        MODEL,
        NET.images,
        MarginMisclassification(labels, margins),
        epsilons=None,
    )
    assert success.numpy().all()
    for image, good, adversarial in zip(
        NET.images.numpy(),
        ahead > margins[:, None],
        adversarials.numpy(),
        strict=True,
    ):
        left = fed[good]
        closest = left[np.argmin(sizes("l2", left - image))]
        np.testing.assert_array_equal(adversarial, closest)


def test_an_image_that_is_misclassified_stays(fed):
    wrong = (NET.labels + 1) % 3
    adversarials, _, success = fed_attack(fed)(
        MODEL, NET.images, wrong, epsilons=None
    )
    assert success.numpy().all()
    np.testing.assert_array_equal(adversarials, NET.images)


def test_without_an_image_of_another_class_it_fails_alone(fed):
    own = fed[np.argmax(NET(fed), 1) == NET.labels[0].numpy()]
    adversarials, _, success = fed_attack(own)(
        MODEL, NET.images, NET.labels, epsilons=None
    )
    failed = NET.labels == NET.labels[0]
    np.testing.assert_array_equal(success, ~failed)
    np.testing.assert_array_equal(adversarials[failed], NET.images[failed])


def test_images_without_scores_are_not_taken(fed):
    attack = DatasetAttack()
    attack.feed(foolbox_model(not_a_number), fed)
    adversarials, _, success = attack(
        MODEL, NET.images, NET.labels, epsilons=None
    )
    assert not success.numpy().any()
    np.testing.assert_array_equal(adversarials, NET.images)


def test_it_is_fed_images_of_any_library_within_the_bounds():
    attack = DatasetAttack()
    with pytest.raises(ValueError, match="must be a batch of .* float image"):
        attack.feed(MODEL, np.zeros((2, 6, 6, 1), np.uint8))
    with pytest.raises(ValueError, match="must lie within the model's bounds"):
        attack.feed(MODEL, 255 * NET.images)
    attack.feed(MODEL, eagerpy.astensor(NET.images))
    assert len(attack.fed) == 1


def test_it_must_be_fed_images_of_the_inputs_size():
    attack = DatasetAttack()
    with pytest.raises(ValueError, match="no images to choose from"):
        attack(MODEL, NET.images, NET.labels, epsilons=None)

    def mean(images):
        return images[:, :2, 0, 0]

    attack.feed(foolbox_model(mean), np.zeros((2, 4, 4, 1), np.float32))
    with pytest.raises(ValueError, match="fed images have 16 values each"):
        attack(MODEL, NET.images, NET.labels, epsilons=None)
