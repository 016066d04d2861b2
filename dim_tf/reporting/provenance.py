"""What records were made with, model by model."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from dim_tf.reporting.cards import Rows

# Of a digest: enough to tell weights apart.
_DIGITS = 12
_UNSAID = "not said"

# What records were made with, by model: of every file, see `results.made_with`.
Made = Mapping[str, Sequence[Mapping[str, Any]]]


def table(made: Made) -> Rows:
    """What the records of every model were made with, below a header row.

    Args:
        made: of `results.made_with`.

    Returns:
        Rows of cells, a column for each model. Records that were not all made
        alike have several values in one.
    """
    rows: Rows = [("", *(f"`{model}`" for model in made))]
    for title, value in _FACTS.items():
        cells = [_joined(map(value, files)) for files in made.values()]
        if any(cells):
            rows.append((title, *cells))
    return rows


def facts(made: Made) -> dict[str, dict[str, str]]:
    """`table` for programs: by model and title."""
    (_, *models), *rows = table(made)
    return {
        model.strip("`"): {row[0]: row[place] for row in rows}
        for place, model in enumerate(models, 1)
    }


def _joined(values: Iterable[str]) -> str:
    return "; ".join(sorted(set(values) - {""}))


def _named(values: Mapping[str, Any] | None) -> str:
    return ", ".join(
        f"{name} {value}" for name, value in (values or {}).items()
    )


def _digest(text: str) -> str:
    """A name, or the beginning of what is but a digest."""
    return text[:_DIGITS] if len(text) == 64 else text


_FACTS = {
    "images": lambda file: _digest(file.get("dataset") or _UNSAID),
    "weights": lambda file: _digest(file.get("weights_digest") or _UNSAID),
    "settings": lambda file: _named(file.get("settings")),
    "attacks search on": lambda file: _named(file.get("search_view")),
    "refined": lambda file: "yes" if file.get("refinement") else "",
    "seeds": lambda file: str(file.get("seed", _UNSAID)),
    "versions": lambda file: _named(file.get("versions")) or _UNSAID,
    "machine": lambda file: file.get("hardware") or _UNSAID,
}
