"""The files in flags/ are taken by the commands that they say they are for."""

import dataclasses
import functools
import json
import pathlib
import re

import pytest
import tensorflow as tf
from absl import flags

from dim_tf import config
from dim_tf import data
from dim_tf import evaluate
from dim_tf import models
from dim_tf import train
from dim_tf.attacks.selection import select

ROOT = pathlib.Path(__file__).resolve().parents[1]


def arguments_by_command():
    """What the files say that they are for: arguments by stem, by command."""
    found = {"evaluate": {}, "train": {}}
    for path in sorted((ROOT / "flags").glob("*.cfg")):
        named = rf"#   python -m dim_tf\.(\w+) (--flagfile=flags/{path.name}.*)"
        ((command, arguments),) = re.findall(named, path.read_text())
        found[command][path.stem] = arguments.split()
    return found


COMMANDS = arguments_by_command()


@pytest.fixture
def values(monkeypatch):
    """Flags where commands look for them, apart from those of this process."""
    values = flags.FlagValues()
    for name in ("define_flags", "from_flags", "reject_flags"):
        function = functools.partial(getattr(config, name), flag_values=values)
        monkeypatch.setattr(config, name, function)
    monkeypatch.chdir(ROOT)
    return values


@pytest.mark.parametrize("name", COMMANDS["evaluate"])
def test_evaluate_takes_every_flag(name, values, tmp_path, capsys):
    config.define_flags(evaluate.EvaluateConfig, data.DataConfig)
    arguments = COMMANDS["evaluate"][name]
    new = f"--results={tmp_path}/new"
    values(["evaluate", *arguments, "--dry_run", new])
    evaluate.main([])
    planned = capsys.readouterr().out
    attacks = select(values["suite"].value, values["only"].value)
    assert attacks
    for spec in attacks:
        row = rf" {spec.name} .* {values['num_examples'].value} "
        assert re.search(row, planned), planned
    assert not (tmp_path / "new").exists()


class Prepared(Exception):
    """Stands for the work that would begin."""


def of_effect(settings):
    """Without those of a denoiser, where there is none."""
    if settings.get("denoiser", True):
        return settings
    return {k: v for k, v in settings.items() if not k.startswith("denoiser_")}


@pytest.mark.parametrize("name", COMMANDS["train"])
def test_train_takes_every_flag_and_makes_the_model_that_is_there(
    name, values, monkeypatch
):
    def prepare(*settings):
        raise Prepared(*settings)

    monkeypatch.setattr(train.training, "prepare", prepare)
    # It would be for all of this process.
    nothing = lambda: None  # noqa: E731
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", nothing
    )
    train.define_flags()
    values(["train", *COMMANDS["train"][name]])
    with pytest.raises(Prepared) as prepared:
        train.main([])
    run, sizes, recipe, dataset = prepared.value.args
    assert run.model == name
    sizes = dataclasses.asdict(models.resolve(name, sizes))
    card = json.loads((ROOT / "saved_models" / name / "card.json").read_text())
    made = card["settings"]
    assert of_effect({**sizes, **dataclasses.asdict(recipe)}) == of_effect(
        {**made["sizes"], **made["recipe"]}
    )
    assert made["batch_size"] == run.batch_size
    assert made["validation_size"] == dataset.validation_size
