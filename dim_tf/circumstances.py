"""Machine and versions that something was made with, for cards and records."""

import contextlib
import importlib.metadata
import os
import pathlib
import platform
from typing import Any

import foolbox
import keras
import numpy as np
import tensorflow as tf


def here() -> dict[str, Any]:
    """`versions` and `hardware`, by these names."""
    return {"versions": versions(), "hardware": hardware()}


def versions() -> dict[str, str]:
    """Of Python and the packages that numbers depend on, by name."""
    found = {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "foolbox": foolbox.__version__,
        "numpy": np.__version__,
    }
    # Without it, the package is run from its folder.
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found["dim_tf"] = importlib.metadata.version("dim_tf")
    return found


def hardware() -> str:
    """The devices that TensorFlow computes on, in words."""
    names = [
        tf.config.experimental.get_device_details(device).get(
            "device_name", device.name
        )
        for device in tf.config.list_physical_devices("GPU")
    ]
    return ", ".join([f"{os.cpu_count()} CPU cores ({_cpu_name()})", *names])


def _cpu_name() -> str:
    path = pathlib.Path("/proc/cpuinfo")
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
