"""What records were made with, model by model."""

import json
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from dim_tf.evaluation import results
from dim_tf.reporting.formats import Rows

# Of a digest: enough to tell weights apart.
_DIGITS = 12
# In a record's metadata, and how a table calls it.
_TITLES = {
    "dataset": "images",
    "weights_digest": "weights",
    "settings": "settings",
    "search_view": "attacks search on",
    "refinement": "refined by",
    "seed": "seed",
    "versions": "versions",
    "hardware": "machine",
}

# By model, what every file says: see `results.made_with`.
Made = Mapping[str, Sequence[Mapping[str, Any]]]


def facts(made: Made) -> dict[str, dict[str, list[Any]]]:
    """What the records of every model were made with, for programs.

    Args:
        made: of `results.made_with`.

    Returns:
        By model and name, such as `weights_digest`, the values that there are:
        one where all records were made alike. None among others is of records
        that do not say.
    """
    return {
        model: {name: _values(name, files) for name in _TITLES}
        for model, files in made.items()
    }


def _values(name: str, files: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The different values of a name; nothing is None."""
    found = {}
    for file in files:
        # Another start is what that probe is for.
        if name == "seed" and file["attack"].endswith(results.ANOTHER_START):
            continue
        value = file.get(name)
        value = None if value in ("", {}) else value
        found[json.dumps(value, sort_keys=True)] = value
    return list(found.values())


def table(made: Made) -> Rows:
    """`facts` in words below a header row, a column for each model.

    Without rows that nobody has anything in.
    """
    found = facts(made)
    rows: Rows = [("", *(f"`{model}`" for model in found))]
    for name, title in _TITLES.items():
        columns = [values[name] for values in found.values()]
        if any(value is not None for values in columns for value in values):
            texts = ("; ".join(map(_text, values)) for values in columns)
            rows.append((title, *texts))
    return rows


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(of)}" for name, of in value.items())
    text = str(value)
    # What is only a digest.
    return text[:_DIGITS] if len(text) == 64 else text
