"""Training on several devices, simulated by two logical CPUs."""

import subprocess
import sys
import textwrap

SCRIPT = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)
import numpy as np
from dim_tf import data, training
from dim_tf.models.dim import DimConfig
from dim_tf.training.dim import DimRecipe

data_dir, folder = sys.argv[1:]
def train(name, strategy):
    run = training.TrainConfig(
        batch_size=50, xla=False, run_dir=folder + name
    )
    plan = training.prepare(
        run,
        DimConfig(denoiser_units=12, internal_units=6),
        # The replicas' noise on the denoised images differs by design.
        DimRecipe(denoiser_epochs=1, internal_epochs=1, internal_noise=""),
        data.DataConfig(data_dir=data_dir, validation_size=100),
        strategy=strategy,
    )
    return plan.run().model.get_weights()

one = train("/one", tf.distribute.get_strategy())
two = train("/two", tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"]))
print(max(float(abs(a - b).max()) for a, b in zip(one, two, strict=True)))
"""


def test_two_devices_take_the_steps_of_one(tiny_mnist, tmp_path):
    # Adam divides by the root of small second moments: rounding grows.
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(SCRIPT),
            tiny_mnist.data_dir,
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    assert float(process.stdout.split()[-1]) < 1e-4
