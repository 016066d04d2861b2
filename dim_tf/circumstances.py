"""On what something was made: machine and versions, for cards and records."""

import importlib.metadata
import os
import pathlib
import platform

import tensorflow as tf

_PACKAGES = ("dim_tf", "tensorflow", "keras", "foolbox", "numpy")


def versions() -> dict[str, str]:
    """Of Python and the packages that numbers depend on, by name."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # run from a folder, without having been installed
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
