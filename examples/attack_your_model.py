"""Attacks a Keras model of your own: how far is the closest adversarial?

python examples/attack_your_model.py
"""

import foolbox
import keras
import numpy as np

from dim_tf import attacks
from dim_tf import data

# Your model: any function of images to logits will do.
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

test = data.load(data.DataConfig(), "test").take(slice(50))
fmodel = foolbox.TensorFlowModel(model, bounds=(0, 1), device="/CPU:0")
for norm, attack in {
    "L2": attacks.DDNAttack(),
    "Linf": attacks.LInfFMNAttack(),
}.items():
    found, _, success = attack(fmodel, test.images, test.labels, epsilons=None)
    changes = (found.numpy() - test.images).reshape(len(test), -1)
    sizes = np.linalg.norm(changes, 2 if norm == "L2" else np.inf, axis=1)
    # Whoever is not fooled is infinitely far from it.
    sizes[~success.numpy()] = np.inf
    print(f"median {norm} distance to an adversarial: {np.median(sizes):.3f}")
