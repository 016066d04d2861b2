"""The models that are served: folders of versions, watched.

    <base path>/<name>/<number>/saved_model.pb

The newest version of every model is served. When a newer folder appears it is
loaded beside the old one, which goes as soon as the new one is warm.
"""

import dataclasses
import logging
import pathlib
import threading
from collections.abc import Sequence

from dim_tf.serving.errors import RequestError
from dim_tf.serving.versions import Version

_LOG = logging.getLogger(__name__)


def _files(folder: pathlib.Path) -> frozenset[tuple[str, int, int]]:
    """Names, sizes and times of what is below a folder."""
    states = ((str(path), path.lstat()) for path in folder.rglob("*"))
    return frozenset(
        (path, state.st_size, state.st_mtime_ns) for path, state in states
    )


@dataclasses.dataclass(frozen=True)
class _Failure:
    """A version that could not be loaded, and what its folder held then."""

    number: int
    files: frozenset[tuple[str, int, int]]


@dataclasses.dataclass(frozen=True)
class Status:
    """Where a version stands, in TensorFlow Serving's words."""

    number: int
    state: str
    error: str = ""


class Repository:
    """The models of a folder; safe to use from several threads.

    Args:
        base_path: folder with a folder per model.
        names: models to serve; empty: all that are there.

    Raises:
        FileNotFoundError: the folder, or a model that was named, is not there.
    """

    def __init__(self, base_path: pathlib.Path, names: Sequence[str] = ()):
        self._base_path = base_path
        self._wanted = tuple(names)
        self._refreshing = threading.Lock()
        self._serving: dict[str, Version] = {}
        self._failed: dict[str, _Failure] = {}
        if not base_path.is_dir():
            raise FileNotFoundError(f"no folder {base_path}")
        absent = set(names) - self._on_disk().keys()
        if absent:
            raise FileNotFoundError(
                f"no SavedModel of {', '.join(sorted(absent))} in {base_path}; "
                "make it with `python -m dim_tf.export`"
            )
        for path in sorted(base_path.glob("*/saved_model.pb")):
            _LOG.warning(
                "%s is not served: it lies in no folder of a version, such as "
                "%s",
                path.parent,
                path.parent / "1",
            )

    def refresh(self) -> None:
        """Loads what is new, and lets go of what is gone."""
        with self._refreshing:
            on_disk = self._on_disk()
            for name, folders in on_disk.items():
                try:
                    self._load_newest(name, folders)
                except OSError:  # as of a file that is gone again
                    _LOG.exception("cannot look at %s", name)
            for name in set(self._serving) - on_disk.keys():
                del self._serving[name]
            for name in set(self._failed) - on_disk.keys():
                del self._failed[name]

    def _on_disk(self) -> dict[str, dict[int, pathlib.Path]]:
        """Version folders by number, by model."""
        found: dict[str, dict[int, pathlib.Path]] = {}
        for path in self._base_path.glob("*/*/saved_model.pb"):
            name, number = path.parts[-3:-1]
            wanted = not self._wanted or name in self._wanted
            # Half-written versions have names that are no number.
            if wanted and number.isascii() and number.isdecimal():
                found.setdefault(name, {})[int(number)] = path.parent
        return found

    def _load_newest(self, name: str, folders: dict[int, pathlib.Path]) -> None:
        newest = max(folders)
        served = self._serving.get(name)
        if served and served.number == newest:
            self._failed.pop(name, None)
            return
        # It may have been seen while it was being copied.
        attempt = _Failure(newest, _files(folders[newest]))
        if self._failed.get(name) == attempt:
            return
        # What is served already is better than anything older.
        for number in [newest] if served else sorted(folders, reverse=True):
            try:
                version = Version(name, number, folders[number])
            except Exception as error:  # whatever a damaged file may raise
                _LOG.error("%s version %d: %s", name, number, error)
                if number == newest:
                    self._failed[name] = attempt
                continue
            if number == newest:
                self._failed.pop(name, None)
            self._serving[name] = version
            return

    @property
    def names(self) -> list[str]:
        """Of the models that are served."""
        return sorted(self._serving)

    def get(self, name: str, number: str | None = None) -> Version:
        """A version that is served.

        Args:
            name: of the model.
            number: of the version, as a client writes it; None: the newest.

        Raises:
            RequestError: 404, it is not served.
        """
        version = self._serving.get(name)
        if version is None or number not in (None, str(version.number)):
            asked = f"Latest({name})"
            if number is not None:
                asked = f"Specific({name}, {number})"
            raise RequestError(404, f"Servable not found for request: {asked}")
        return version

    def statuses(self, name: str) -> list[Status]:
        """Of the versions of a model that are known, the newest first.

        Raises:
            RequestError: 404, the model is not known.
        """
        found = []
        # Another thread may take either away.
        if failed := self._failed.get(name):
            reason = "the SavedModel cannot be loaded"
            found.append(Status(failed.number, "END", reason))
        if served := self._serving.get(name):
            found.append(Status(served.number, "AVAILABLE"))
        if not found:
            raise RequestError(
                404, f"Could not find any versions of model {name}"
            )
        return found
