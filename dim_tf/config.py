"""Settings: frozen dataclasses, and the command-line flags made from them.

A setting's name, default, help text and range are written once, as a field of
a dataclass. The entry points turn dataclasses into absl flags and parsed flags
back into dataclasses; the library only ever sees the dataclasses.
"""

import dataclasses
import math
import sys
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any
from typing import TypeVar

from absl import flags

Settings = TypeVar("Settings")


def setting(
    default: Any,
    help_text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Iterable[str] | None = None,
    in_weights: bool = True,
) -> Any:
    """A dataclass field that is also a flag.

    Args:
        default: value where nothing else is said; its type is the flag's type.
        help_text: what `--help` prints; names the unit.
        minimum, maximum: inclusive range of a number.
        choices: the valid strings.
        in_weights: whether other values, of a model's setting, give it other
            weights.
    """
    metadata = {
        "help": help_text,
        "minimum": minimum,
        "maximum": maximum,
        "choices": tuple(choices) if choices else None,
        "in_weights": in_weights,
    }
    return dataclasses.field(default=default, metadata=metadata)


def settings_of(cls: Any) -> list[dataclasses.Field]:
    """The fields of a dataclass that were made by `setting`."""
    return [field for field in dataclasses.fields(cls) if field.metadata]


def from_values(cls: Any, values: Mapping[str, Any], source: Any) -> Any:
    """Settings as a file has them.

    Args:
        cls: a settings dataclass.
        values: of its settings, by name.
        source: where they come from, for the error's text.

    Raises:
        ValueError: a setting is unknown, or has another value than it may.
    """
    unknown = values.keys() - {field.name for field in dataclasses.fields(cls)}
    if unknown:
        raise ValueError(
            f"{source} has settings that this version does not know: "
            f"{', '.join(sorted(unknown))}; use it with the version that made "
            "it"
        )
    return cls(**values)


def beside_weights(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values other than defaults of the settings that do not show in weights.

    Args:
        cls: a settings dataclass.
        values: of its settings, by name, as a card has them.
    """
    return {
        field.name: values[field.name]
        for field in settings_of(cls)
        if not field.metadata["in_weights"]
        and values.get(field.name, field.default) != field.default
    }


def listed(text: str) -> list[str]:
    """The parts of a comma-separated text, without spaces around them."""
    return [part for each in text.split(",") if (part := each.strip())]


def validate(settings: Any) -> None:
    """Checks every setting of a dataclass against its type and range.

    Call it from `__post_init__`.

    Raises:
        ValueError: names the setting, what it got and what it accepts.
    """
    for field in settings_of(type(settings)):
        value = getattr(settings, field.name)
        problem = _problem(value, field)
        if problem:
            raise ValueError(f"--{field.name} must be {problem}, got {value!r}")


def _problem(value: Any, field: dataclasses.Field) -> str | None:
    kind = type(field.default)
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (
        isinstance(value, bool) and kind is not bool
    ):
        return f"of type {kind.__name__}"
    rules = field.metadata
    if rules["choices"] and value not in rules["choices"]:
        return f"one of {', '.join(rules['choices'])}"
    if isinstance(value, float) and not math.isfinite(value):
        return "finite"
    if rules["minimum"] is not None and value < rules["minimum"]:
        return f"at least {rules['minimum']}"
    if rules["maximum"] is not None and value > rules["maximum"]:
        return f"at most {rules['maximum']}"
    return None


def define_flags(
    *classes: type, flag_values: flags.FlagValues = flags.FLAGS
) -> None:
    """Defines one absl flag for every setting of the given dataclasses."""
    define: dict[type, Callable] = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
    }
    for cls in classes:
        for field in settings_of(cls):
            help_text = field.metadata["help"]
            if field.metadata["choices"]:
                help_text += f" One of: {', '.join(field.metadata['choices'])}."
            define[type(field.default)](
                field.name,
                field.default,
                help_text,
                # absl's --help shows the flags of the running program only.
                module_name=sys.argv[0],
                flag_values=flag_values,
            )


def from_flags(
    cls: type[Settings],
    defaults: Mapping[str, Any] | None = None,
    flag_values: flags.FlagValues = flags.FLAGS,
) -> Settings:
    """Builds a settings dataclass from parsed flags.

    Args:
        cls: the dataclass.
        defaults: values that stand in for flags nobody set, by name.
        flag_values: the parsed flags.

    Raises:
        ValueError: where a flag is out of its range.
    """
    values = {}
    for field in settings_of(cls):
        flag = flag_values[field.name]
        values[field.name] = flag.value
        if defaults and not flag.present:
            values[field.name] = defaults.get(field.name, flag.value)
    return cls(**values)


def without_effect(settings: Any, used: Collection[str]) -> dict[str, Any]:
    """Values of settings that somebody set and nothing uses, by name.

    Args:
        settings: of a dataclass.
        used: names of those that what is asked for depends on.
    """
    return {
        field.name: value
        for field in settings_of(type(settings))
        if (value := getattr(settings, field.name)) != field.default
        and field.name not in used
    }


def reject_flags(
    cls: type,
    reason: str,
    flag_values: flags.FlagValues = flags.FLAGS,
    prefix: str = "",
    but: Collection[str] = (),
) -> None:
    """Raises if a flag of `cls` was set where it has no effect.

    Args:
        cls: a settings dataclass.
        reason: why it has none.
        flag_values: the parsed flags.
        prefix: of the names that are meant; empty: all.
        but: names that are not meant.

    Raises:
        ValueError: names the flag and the reason.
    """
    for field in settings_of(cls):
        meant = field.name.startswith(prefix) and field.name not in but
        if meant and flag_values[field.name].present:
            raise ValueError(f"--{field.name} has no effect: {reason}")
