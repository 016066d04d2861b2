import dataclasses
import math

import pytest
from absl import flags

from dim_tf import config


@dataclasses.dataclass(frozen=True)
class Oven:
    degrees: int = config.setting(
        180, "Degrees Celsius.", minimum=50, maximum=250
    )
    hours: float = config.setting(1.5, "Baking time.", minimum=0, maximum=24)
    fan: bool = config.setting(False, "Whether the fan runs.")
    program: str = config.setting(
        "bake", "What to do.", choices=("bake", "grill")
    )
    rack: str = "middle"

    def __post_init__(self):
        config.validate(self)


def parsed(*args):
    values = flags.FlagValues()
    config.define_flags(Oven, flag_values=values)
    values(["test", *args])
    return values


def test_settings_of_skips_plain_fields():
    names = [field.name for field in config.settings_of(Oven)]
    assert names == ["degrees", "hours", "fan", "program"]


@pytest.mark.parametrize(
    "values",
    [
        {"degrees": 50},
        {"degrees": 250},
        {"hours": 0},
        {"hours": 24.0},
        {"fan": True},
        {"program": "grill"},
        {"rack": "anything goes"},
    ],
    ids=str,
)
def test_validate_accepts(values):
    oven = Oven(**values)
    assert dataclasses.asdict(oven) == {**dataclasses.asdict(Oven()), **values}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"degrees": 49}, "^--degrees must be at least 50, got 49$"),
        ({"degrees": 251}, "^--degrees must be at most 250, got 251$"),
        ({"degrees": 180.0}, "^--degrees must be of type int, got 180.0$"),
        ({"degrees": True}, "^--degrees must be of type int, got True$"),
        ({"hours": -0.1}, "^--hours must be at least 0, got -0.1$"),
        ({"hours": math.nan}, "^--hours must be finite, got nan$"),
        ({"hours": math.inf}, "^--hours must be finite, got inf$"),
        ({"hours": True}, "^--hours must be of type float, got True$"),
        ({"hours": "1"}, "^--hours must be of type float, got '1'$"),
        ({"fan": 1}, "^--fan must be of type bool, got 1$"),
        ({"fan": None}, "^--fan must be of type bool, got None$"),
        ({"program": "fry"}, "^--program must be one of bake, grill, got 'fry"),
        ({"program": ""}, "^--program must be one of bake, grill, got ''$"),
    ],
    ids=str,
)
def test_validate_rejects(values, message):
    with pytest.raises(ValueError, match=message):
        Oven(**values)


def test_nan_fails_without_a_minimum():
    @dataclasses.dataclass(frozen=True)
    class Bounded:
        share: float = config.setting(0.5, "A share.", maximum=1.0)

    with pytest.raises(ValueError, match="--share must be finite"):
        config.validate(Bounded(share=math.nan))


def test_flags_carry_default_help_and_choices():
    values = parsed()
    assert values["degrees"].default == 180
    assert values["hours"].help == "Baking time."
    assert values["program"].help == "What to do. One of: bake, grill."
    assert "rack" not in values


def test_from_flags_without_flags_gives_the_defaults():
    assert config.from_flags(Oven, flag_values=parsed()) == Oven()


def test_from_flags_reads_every_type():
    values = parsed("--degrees=200", "--hours=2", "--fan", "--program=grill")
    oven = config.from_flags(Oven, flag_values=values)
    assert oven == Oven(degrees=200, hours=2.0, fan=True, program="grill")
    assert isinstance(oven.hours, float)


def test_flag_goes_before_defaults_and_defaults_before_field():
    values = parsed("--degrees=200")
    defaults = {"degrees": 100, "hours": 3.0, "of another class": "top"}
    oven = config.from_flags(Oven, defaults, flag_values=values)
    assert oven == Oven(degrees=200, hours=3.0)
    assert defaults == {"degrees": 100, "hours": 3.0, "of another class": "top"}


def test_flag_set_to_its_own_default_still_goes_before_defaults():
    values = parsed("--degrees=180", "--nofan")
    defaults = {"degrees": 100, "fan": True}
    assert config.from_flags(Oven, defaults, flag_values=values) == Oven()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--degrees=20", "--degrees must be at least 50, got 20"),
        ("--hours=nan", "--hours must be finite, got nan"),
        ("--program=fry", "--program must be one of bake, grill, got 'fry'"),
    ],
)
def test_from_flags_rejects(flag, message):
    with pytest.raises(ValueError, match=message):
        config.from_flags(Oven, flag_values=parsed(flag))


@pytest.mark.parametrize("flag", ["--degrees=200", "--degrees=180"])
def test_reject_flags_may_mean_some_names_only(flag):
    values = parsed(flag)
    config.reject_flags(Oven, "it is cold", values, prefix="hou")
    config.reject_flags(Oven, "it is cold", values, but=["degrees"])
    with pytest.raises(ValueError, match="--degrees has no effect"):
        config.reject_flags(Oven, "it is cold", values, prefix="deg")


@pytest.mark.parametrize("flag", ["--degrees=200", "--degrees=180"])
def test_reject_flags_names_flag_and_reason(flag):
    values = parsed(flag)
    with pytest.raises(ValueError, match="--degrees has no effect: it is cold"):
        config.reject_flags(Oven, "it is cold", flag_values=values)


def test_reject_flags_accepts_flags_nobody_set():
    values = parsed()
    config.reject_flags(Oven, "it is cold", flag_values=values)
    assert config.from_flags(Oven, flag_values=values) == Oven()


def test_two_dataclasses_share_one_command_line():
    @dataclasses.dataclass(frozen=True)
    class Timer:
        minutes: int = config.setting(10, "Minutes.", minimum=0)

    values = flags.FlagValues()
    config.define_flags(Oven, Timer, flag_values=values)
    values(["test", "--minutes=3", "--degrees=99"])
    assert config.from_flags(Timer, flag_values=values).minutes == 3
    assert config.from_flags(Oven, flag_values=values).degrees == 99
