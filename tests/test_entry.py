"""What every command shares."""

import numpy as np
import pytest
import tensorflow as tf

from dim_tf import entry
from dim_tf.evaluation import executors

precision = tf.config.experimental


@pytest.fixture(autouse=True)
def in_tensor_float_32():
    before = precision.tensor_float_32_execution_enabled()
    precision.enable_tensor_float_32_execution(True)
    yield
    precision.enable_tensor_float_32_execution(before)


def test_commands_calculate_in_float32(monkeypatch):
    seen = []
    monkeypatch.setattr(entry.app, "run", lambda main, **_: main(["command"]))
    monkeypatch.setattr(entry.flags, "FLAGS", {"verbosity": Present()})
    entry.run(
        lambda argv: seen.append(precision.tensor_float_32_execution_enabled())
    )
    assert seen == [False]


@pytest.mark.parametrize("resumes", [False, True])
def test_an_interrupted_command_says_whether_it_resumes(
    resumes, monkeypatch, capsys
):
    def interrupted(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr(entry.app, "run", lambda main, **_: main(["command"]))
    monkeypatch.setattr(entry.flags, "FLAGS", {"verbosity": Present()})
    with pytest.raises(SystemExit) as ended:
        entry.run(interrupted, resumes=resumes)
    assert ended.value.code == 130
    said = capsys.readouterr().err
    assert said.startswith("error: interrupted")
    assert ("resumes where it was" in said) == resumes


class Present:
    present = True


def test_workers_of_a_cluster_calculate_in_float32():
    executors.Worker(np.zeros(1), "off")
    assert not precision.tensor_float_32_execution_enabled()
