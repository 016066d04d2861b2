"""The examples run as they are, and say what they promise."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from dim_tf import models
from dim_tf.models import saving

ROOT = pathlib.Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


# An example that must not need the package runs without it.
RUN = """
import runpy, sys
if sys.argv.pop(1) == "alone":
    sys.modules["dim_tf"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(name, *arguments, package="with"):
    example = f"examples/{name}.py"
    process = subprocess.run(
        [sys.executable, "-c", RUN, package, example, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_attack_your_model():
    printed = run("attack_your_model")
    found = re.findall(r"median (\w+) distance .*: ([\d.]+),", printed)
    sizes = {norm: float(size) for norm, size in found}
    # What a small dense net has, give or take.
    assert 0.5 < sizes["l2"] < 2
    assert 0.02 < sizes["linf"] < 0.15
    assert "| thresholds | L2 1.5, Linf 0.1, L0 12 |" in printed


def test_swap_one_import():
    printed = run("swap_one_import")
    rows = re.findall(r"(\w+): robust accuracy \[(.*)\]", printed)
    assert [name for name, _ in rows] == ["foolbox", "dim_tf"]
    foolbox, ours = (np.array(text.split(), float) for _, text in rows)
    # Where a softmax is nearly one, foolbox's gradient is of its rounding.
    assert (ours <= foolbox).all()
    np.testing.assert_allclose(ours, foolbox, atol=0.02)


def test_load_saved_model(tmp_path):
    card = saving.read_card(models.find("dim"))
    version = saving.export(models.load_outputs("dim"), card, tmp_path / "dim")
    digits = "examples/digits.npy"
    text = run("load_saved_model", version, digits, package="alone")
    assert re.findall(r"^\d", text, re.M) == list("0123456789")
