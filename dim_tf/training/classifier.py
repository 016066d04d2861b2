"""Training a plain classifier: the CNN baseline."""

import dataclasses

import keras

from dim_tf import config
from dim_tf import data
from dim_tf import metrics
from dim_tf import noise
from dim_tf.training.loop import Stage


@dataclasses.dataclass(frozen=True)
class ClassifierRecipe:
    """How a plain classifier is trained."""

    classifier_epochs: int = config.setting(
        15, "Passes over the training images.", minimum=1
    )
    classifier_learning_rate: float = config.setting(
        1e-3, "Adam's at the start; decays to 0 along a cosine.", minimum=0
    )
    classifier_noise: str = config.setting(
        "gaussian:0..0.05", "Noise on the images; empty: none."
    )

    def __post_init__(self):
        config.validate(self)
        noise.parse_noise(self.classifier_noise)


def stages(
    model: keras.Model,
    recipe: ClassifierRecipe,
    train: data.Examples,
    validation: data.Examples,
    *,
    batch_size: int,
    seed,
) -> list[Stage]:
    """The one stage that trains images -> `{"scores": logits}`."""
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="none"
    )

    def prepare(numbers, noisy, clean, labels):
        del numbers, clean
        return noisy, labels

    def loss(noisy, labels):
        return cross_entropy(labels, model(noisy, training=True)["scores"])

    return [
        Stage(
            name="classifier",
            model=model,
            prepare=prepare,
            loss=loss,
            examples=train,
            batch_size=batch_size,
            epochs=recipe.classifier_epochs,
            seed=seed,
            learning_rate=recipe.classifier_learning_rate,
            noises=noise.parse_noise(recipe.classifier_noise),
            validate=lambda: metrics.validation_scalars(model, validation),
        )
    ]
