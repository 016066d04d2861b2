"""What a training shows of itself, on terminals and elsewhere."""

import types

import pytest

from dim_tf.training import callbacks

STAGE = types.SimpleNamespace(name="denoiser", steps=20)
NEXT = types.SimpleNamespace(name="internal_models", steps=40)


def train():
    progress = callbacks.Progress()
    progress.on_stage_begin(STAGE, 4)
    progress.on_log(STAGE, 12, {"loss": 0.5})
    progress.on_epoch_end(STAGE, 12, {"validation/accuracy": 0.875})
    progress.on_log(STAGE, 20, {"loss": 0.25})
    progress.on_epoch_end(STAGE, 20, {})
    progress.on_stage_begin(NEXT, 0)
    progress.on_log(NEXT, 40, {"loss": 0.125})
    progress.on_end()


@pytest.fixture
def clock(monkeypatch):
    """Stages that begin at 0 s, and epochs that end after 3 s, then 6 s."""
    times = iter([0.0, 3.0, 6.0, 9.0])
    clock = types.SimpleNamespace(monotonic=lambda: next(times))
    monkeypatch.setattr(callbacks, "time", clock)


def test_a_terminal_is_shown_a_bar_for_each_stage(capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")  # takes anything for a terminal
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    train()
    shown = capsys.readouterr().err
    assert "left" not in shown
    # Where it goes on, before anything is known.
    assert " 4/20 " in shown
    first, second = shown.splitlines()[-3:-1]
    assert "denoiser " in first
    assert "20/20" in first
    assert "loss 0.250, validation 87.50%" in first
    assert "internal_models " in second
    assert "40/40" in second
    assert "loss 0.125" in second
    # That is of the stage before.
    assert "validation" not in second
    hides, shows = "\x1b[?25l", "\x1b[?25h"
    assert shown.rindex(hides) < shown.rindex(shows)


def test_a_file_gets_a_line_for_each_epoch(capsys, monkeypatch, clock):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    train()
    assert capsys.readouterr().err.splitlines() == [
        "denoiser: step 12/20, loss 0.500, validation 87.50%, 3 s left",
        "denoiser: step 20/20, loss 0.250, validation 87.50%, 0 s left",
    ]
