"""The same attack by foolbox and by dim_tf: what changes is the import.

python examples/swap_one_import.py
"""

import time

import foolbox
import tensorflow as tf
from foolbox.attacks import LinfPGD as FoolboxPGD

from dim_tf import data
from dim_tf import models
from dim_tf.attacks import LinfPGD

fmodel = foolbox.TensorFlowModel(
    models.load("cnn"), bounds=(0, 1), device="/CPU:0"
)
test = data.load(data.DataConfig(), "test").take(slice(100))
images, labels = tf.constant(test.images), tf.constant(test.labels)

for name, attack in {
    "foolbox": FoolboxPGD(random_start=False),
    "dim_tf": LinfPGD(random_start=False),
}.items():
    attack(fmodel, images, labels, epsilons=[0.1])  # compiles
    started = time.perf_counter()
    _, _, success = attack(fmodel, images, labels, epsilons=[0.05, 0.1, 0.2])
    seconds = time.perf_counter() - started
    robust = 1 - success.numpy().mean(axis=1)
    print(f"{name}: robust accuracy {robust.round(2)}, {seconds:.2f} s")
