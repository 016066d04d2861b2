"""Which attacks are meant: some of a preset, or somebody's own."""

from collections.abc import Collection
from collections.abc import Mapping

from dim_tf import config
from dim_tf.attacks.adaptor import Native
from dim_tf.attacks.spec import AttackSpec
from dim_tf.attacks.suite import PRESETS

# What an attack that is in no preset asks of a model.
_UNKNOWN = ""
# What reports call all attacks of a norm, or what they leave.
_MINIMA = ("all_", "any_", "minimal_accuracy", "clean_accuracy")


def own(attacks_by_name: Mapping[str, Native]) -> list[AttackSpec]:
    """Rows of attacks that are in no preset.

    Args:
        attacks_by_name: names are for records and tables.

    Raises:
        ValueError: none, a name that no folder may have or that reports give
            to minima, or no attack of `dim_tf.attacks`.
    """
    if not attacks_by_name:
        raise ValueError("a suite must have at least one attack, got none")
    for name, attack in attacks_by_name.items():
        if name in ("", ".", "..") or "/" in name:
            raise ValueError(
                f"no folder may be called {name!r}; choose another"
            )
        if name.startswith(_MINIMA):
            raise ValueError(
                f"an attack may not be called {name!r}: reports call minima by "
                f"names that begin with {', '.join(_MINIMA)}; choose another"
            )
        if not isinstance(attack, Native):
            raise ValueError(
                f"{name} must be an attack of dim_tf.attacks, got {attack!r}"
            )
    return [
        AttackSpec(name, _UNKNOWN, attack)
        for name, attack in attacks_by_name.items()
    ]


def select(preset: str, names: str | Collection[str] = ()) -> list[AttackSpec]:
    """Attacks of a preset, by name.

    Args:
        preset: a key of `PRESETS`.
        names: of its attacks, or a text of them with commas between; none: all
            of them.

    Raises:
        ValueError: no such preset, or an attack that is not in it.
    """
    if preset not in PRESETS:
        raise ValueError(
            f"unknown suite {preset!r}, expected one of {', '.join(PRESETS)}"
        )
    names = config.listed(names) if isinstance(names, str) else names
    specs = PRESETS[preset]
    unknown = set(names) - set(specs)
    if unknown:
        raise ValueError(
            f"no attacks of the suite {preset!r}: {', '.join(sorted(unknown))} "
            f"not among {', '.join(specs)}"
        )
    return [specs[name] for name in dict.fromkeys(names or specs)]
