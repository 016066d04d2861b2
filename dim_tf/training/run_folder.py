"""The files of a run's folder beside its checkpoints and logs."""

import json
import pathlib
from typing import Any

from dim_tf import circumstances
from dim_tf import staging

_SETTINGS = "settings.json"
# On what it was begun; a run may go on elsewhere.
_MADE_WITH = "made_with.json"
# Of settings; by them a run is restored.
_NEEDED = (
    "model",
    "seed",
    "batch_size",
    "dataset",
    "validation_size",
    "sizes",
    "recipe",
)


def claim(run_path: pathlib.Path, settings: dict[str, Any]) -> None:
    """Marks a run folder as belonging to these settings."""
    path = run_path / _SETTINGS
    if not path.is_file():
        write_json(run_path / _MADE_WITH, circumstances.here())
        write_json(path, settings)
        return
    wanted, found = flatten(settings), flatten(read_settings(run_path))
    differences = [
        f"{name}={found.get(name)!r} there, {wanted.get(name)!r} here"
        for name in sorted(found.keys() | wanted.keys())
        if found.get(name) != wanted.get(name)
        # Without effect, and not to be set.
        and not (name.startswith("denoiser_") and not wanted.get("denoiser"))
    ]
    if differences:
        raise ValueError(
            f"{run_path} holds a training with other settings "
            f"({'; '.join(differences)}); choose another --run_dir or delete it"
        )


def made_with(run_path: pathlib.Path) -> dict[str, Any]:
    """`circumstances.here()` where a run was begun."""
    path = run_path / _MADE_WITH
    known = path.is_file()  # not so in runs of earlier versions
    return read_json(path) if known else circumstances.here()


def read_settings(run_path: pathlib.Path) -> dict[str, Any]:
    """The settings of the training in a run folder.

    Raises:
        FileNotFoundError: no training there.
        ValueError: the file is damaged.
    """
    path = run_path / _SETTINGS
    if not path.is_file():
        raise FileNotFoundError(f"{run_path} is no training: no {_SETTINGS}")
    settings = read_json(path)
    missing = [name for name in _NEEDED if name not in settings]
    if missing:
        raise ValueError(
            f"{path} has no {', '.join(missing)}; delete {run_path} and train "
            "again"
        )
    return settings


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """What a file of a run folder holds.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete {path.parent} and train again"
        ) from error


def write_json(path: pathlib.Path, content: dict[str, Any]) -> None:
    """Writes a file of a run folder, whole or not at all."""
    with staging.staged(path) as whole:
        whole.write_text(json.dumps(content, indent=2) + "\n")


def flatten(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without the grouping into sizes and recipe."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return flat
