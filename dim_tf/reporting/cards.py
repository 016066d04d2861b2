"""Tables of trained models and of tried recipes, from their cards."""

import json
import pathlib
from typing import Any

from dim_tf.reporting.formats import Rows

_BUDGETS = {
    "l2_1.5": "L2 1.5",
    "linf_0.2": "Linf 0.2",
    "linf_0.3": "Linf 0.3",
    "l0_12": "L0 12",
}
_NEEDED = {
    *("model", "summary", "parameters", "settings", "clean_accuracy"),
    *("validation_accuracy", "robust_accuracy_upper_bounds"),
}


def models_table(saved_models: pathlib.Path) -> Rows:
    """One row per trained model, below a header row.

    Args:
        saved_models: folder with `<model>/card.json`.

    Returns:
        Rows of cells, most accurate model first; shares in percent, empty
        where the test set was left out.

    Raises:
        FileNotFoundError: no card anywhere in the folder.
        ValueError: a file there is no card.
    """
    cards = [card for _, card in _cards(saved_models, "*/card.json")]
    cards.sort(key=lambda card: card["clean_accuracy"] or 0, reverse=True)
    header = ("model", "what it is", "parameters", "clean accuracy")
    rows = [
        (
            f"`{card['model']}`",
            card["summary"],
            f"{card['parameters']:,}",
            _share(card["clean_accuracy"]),
            *_bounds(card),
        )
        for card in cards
    ]
    return [(*header, *_BUDGETS.values()), *rows]


def recipes_table(recipes: pathlib.Path) -> Rows:
    """One row per tried recipe and model, below a header row.

    Args:
        recipes: folder with `<recipe>/<model>.json`.

    Returns:
        Rows of cells: the settings that differ between the recipes, then what
        each gave on validation images.

    Raises:
        FileNotFoundError: no card anywhere in the folder.
        ValueError: a file there is no card.
    """
    cards = _cards(recipes, "*/*.json")
    settings = [_flat_settings(card) for _, card in cards]
    varied = [
        name
        for name in dict.fromkeys(name for each in settings for name in each)
        if name not in ("model", "binarize")
        and len({each.get(name) for each in settings}) > 1
    ]
    header = ("recipe", "model", *varied, "validation accuracy")
    rows = [
        (
            path.parent.name,
            f"`{card['model']}`",
            *(str(each.get(name, "")) for name in varied),
            f"{card['validation_accuracy']:.2%}",
            *_bounds(card),
        )
        for (path, card), each in zip(cards, settings, strict=True)
    ]
    return [(*header, *_BUDGETS.values()), *rows]


def _cards(
    folder: pathlib.Path, pattern: str
) -> list[tuple[pathlib.Path, dict[str, Any]]]:
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise FileNotFoundError(f"no {pattern} in {folder}")
    return [(path, _card(path)) for path in paths]


def _card(path: pathlib.Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text())
        missing = _NEEDED - card.keys()
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is no card of a model ({error})") from error
    if missing:
        raise ValueError(
            f"{path} is no card of a model: it has no "
            f"{', '.join(sorted(missing))}"
        )
    return card


def _share(accuracy: float | None) -> str:
    return "" if accuracy is None else f"{accuracy:.2%}"


def _bounds(card: dict[str, Any]) -> tuple[str, ...]:
    bounds = card["robust_accuracy_upper_bounds"]
    return tuple(
        f"{bounds[name]:.1%}" if name in bounds else "" for name in _BUDGETS
    )


def _flat_settings(card: dict[str, Any]) -> dict[str, Any]:
    settings = dict(card["settings"])
    sizes, recipe = settings.pop("sizes"), settings.pop("recipe")
    return {**settings, **sizes, **recipe}
