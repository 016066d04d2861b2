r"""Lists the attacks of the suite.

python -m dim_tf.evaluate --list_attacks
"""

import dataclasses

import rich.console
import rich.table

from dim_tf import config
from dim_tf import entry
from dim_tf.attacks import suite


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """What to attack with."""

    list_attacks: bool = config.setting(
        False, "Print the attacks of every preset and stop."
    )

    def __post_init__(self):
        config.validate(self)


def attacks_table(preset: str) -> rich.table.Table:
    """The attacks of a preset, one a line."""
    table = rich.table.Table(
        "name", "norm", "asks for", "attack", title=preset, title_justify="left"
    )
    for spec in suite.PRESETS[preset].values():
        settings = repr(spec.attack)
        if spec.repeats > 1:
            settings += f" x{spec.repeats}"
        table.add_row(spec.name, spec.norm, spec.access, settings)
    return table


def main(argv: list[str]) -> None:
    if argv:
        raise ValueError(f"evaluate takes flags only, got {argv[0]!r}")
    settings = config.from_flags(EvaluateConfig)
    if not settings.list_attacks:
        raise ValueError("nothing to do; expected --list_attacks")
    console = rich.console.Console()
    for preset in suite.PRESETS:
        console.print(attacks_table(preset))


if __name__ == "__main__":
    config.define_flags(EvaluateConfig)
    entry.run(main)
