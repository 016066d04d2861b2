"""Attacks a Keras model of your own: how far is the closest adversarial?

python examples/attack_your_model.py
"""

import keras

from dim_tf import data
from dim_tf import robustness

# Your model: any function of TensorFlow, images -> logits, will do.
train = data.load(data.DataConfig(), "train").take(slice(5_000))
model = keras.Sequential(
    [
        keras.layers.Flatten(),
        keras.layers.Dense(100, "relu"),
        keras.layers.Dense(10),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile("adam", loss)
model.fit(train.images, train.labels, epochs=3, verbose=0)

test = data.load(data.DataConfig(), "test")
found = robustness.measure(
    model,
    test.images,
    test.labels,
    num_examples=50,
    # Without this, twelve attacks, in all norms.
    only=["l2_ddn30", "linf_bim", "l0_fmn"],
    thresholds={"linf": 0.1},
)
print(found)
for norm in ("l2", "linf"):
    distance = found.median_distance(norm)
    print(
        f"median {norm} distance to an adversarial: {distance.value:.3f}, "
        f"give or take {(distance.high - distance.low) / 2:.3f}"
    )
