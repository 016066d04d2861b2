"""Files and folders that are there whole or not at all."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def staged(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where to write what becomes `path` once the block has succeeded.

    Until then, and after a full disk or a kill, `path` is what it was before.

    Args:
        path: a file, whether it exists or not, or a folder that does not. Its
            parents are made.

    Yields:
        A path of the same name in a hidden folder beside `path`. The block
        makes a file or a folder of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as scratch:
        whole = pathlib.Path(scratch) / path.name
        yield whole
        whole.replace(path)
