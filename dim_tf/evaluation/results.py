"""Records of attacks, one row per sample, in Parquet files that stand alone.

    <results>/<model>/<attack>/<first>-<last>.parquet

A file is a shard: some samples, one attack, one model. It is written under a
temporary name and renamed, so that it is there whole or not at all, and its
metadata says what it was made with, and the shape of the images, which are flat
in it.

`gradient` is the largest entry of the gradient of the log-odds at the clean
image: 0 or NaN where attacks that need gradients are lost. The preset
`probe` is that of attacks which only check others, see `evaluation.probes`.
"""

import functools
import json
import math
import os
import pathlib
import tempfile
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

NORMS = ("l0", "l1", "l2", "linf")
SCHEMA = pa.schema(
    [
        ("model", pa.string()),
        ("attack", pa.string()),
        ("norm", pa.string()),
        ("sample", pa.int64()),
        ("label", pa.int64()),
        ("clean_prediction", pa.int64()),
        ("adversarial_prediction", pa.int64()),
        # success; failed; misclassified: distance 0, never attacked; no_start:
        # the attack needs an adversarial to start from, and none was found;
        # error: the attack broke.
        ("status", pa.string()),
        *((f"distance_{norm}", pa.float64()) for norm in NORMS),
        ("epsilon", pa.float64()),
        ("gradient", pa.float64()),
        ("forwards", pa.float64()),
        ("backwards", pa.float64()),
        ("seconds", pa.float64()),
        ("seed", pa.int64()),
        ("preset", pa.string()),
        ("message", pa.string()),
        ("adversarial", pa.list_(pa.float32())),
    ]
)
# In the metadata of a file, columns of what is read: the images' data set, the
# model's weights, and the largest epsilon that an attack was given.
DATASET = pa.field("dataset", pa.string())
WEIGHTS = pa.field("weights_digest", pa.string())
LARGEST_EPSILON = pa.field("largest_epsilon", pa.float64())
# Of what was tried at a threshold and nowhere else.
AT_THRESHOLD = pa.field("at_threshold", pa.float64())
READ_SCHEMA = pa.schema(
    [*SCHEMA, DATASET, WEIGHTS, LARGEST_EPSILON, AT_THRESHOLD]
)
# What it costs to make a record is the one thing a second run may change.
COSTS = ("forwards", "backwards", "seconds")
PROBE = "probe"
# What a probe's name ends with, after that of the attack it checks.
TWICE_THE_STEPS = "_twice_the_steps"
ANOTHER_START = "_another_start"
THRESHOLD_ALONE = "_threshold_alone"
# All that tables need.
WITHOUT_IMAGES = [name for name in SCHEMA.names if name != "adversarial"]
_FINGERPRINT = b"dim_tf"
_IMAGE_SHAPE = b"image_shape"
_CIRCUMSTANCES = b"circumstances"
Fingerprint = Mapping[str, Any]


def write_shard(
    path: pathlib.Path,
    columns: Mapping[str, Any],
    fingerprint: Fingerprint,
    image_shape: Sequence[int] | None = None,
    circumstances: Mapping[str, Any] | None = None,
) -> None:
    """Writes a shard, whole or not at all.

    Args:
        path: of the file; its folder is made where missing.
        columns: by name as in `SCHEMA`, all of a length.
        fingerprint: JSON-able, what the records were made with.
        image_shape: height, width and channels; None: not known.
        circumstances: JSON-able, what they should not depend on, and may.

    Raises:
        OSError: it cannot be written.
        ValueError: as `check_fingerprint`, of what is there already.
    """
    metadata = {_FINGERPRINT: json.dumps(fingerprint, sort_keys=True)}
    if image_shape:
        metadata[_IMAGE_SHAPE] = json.dumps(list(image_shape))
    if circumstances:
        metadata[_CIRCUMSTANCES] = json.dumps(circumstances)
    table = pa.table(columns, SCHEMA).replace_schema_metadata(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(".tmp", "." + path.name, path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        # mkstemp is private to its user; machines may share the folder.
        os.chmod(scratch, 0o644)
        if path.exists():  # by now, from another process
            check_fingerprint(path, fingerprint)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def shards(folder: pathlib.Path) -> Iterator[tuple[pathlib.Path, range]]:
    """The shards of a folder, and the positions of the samples in them."""
    for path in sorted(folder.glob("*-*.parquet")):
        first, _, last = path.stem.partition("-")
        if first.isdigit() and last.isdigit():
            yield path, range(int(first), int(last) + 1)


def shard_path(folder: pathlib.Path, positions: range) -> pathlib.Path:
    """Where a shard belongs; the inverse of `shards`."""
    return folder / f"{positions[0]:05d}-{positions[-1]:05d}.parquet"


def check_fingerprint(path: pathlib.Path, expected: Fingerprint) -> None:
    """Checks that a shard was made with what it should be.

    Raises:
        ValueError: it was not, or the file is damaged; names what differs.
    """
    found = _fingerprint(_opened(pq.read_schema, path))
    wanted = json.loads(json.dumps(expected))
    different = [
        f"{name}: {found.get(name)!r} there, {value!r} here"
        for name, value in wanted.items()
        if found.get(name) != value
    ]
    if different:
        if any(text.startswith("epsilons:") for text in different):
            different.append("thresholds are among the epsilons")
        raise ValueError(
            f"{path} was made with something else ({'; '.join(different)}); "
            "choose another results folder or delete the file"
        )


def _fingerprint(schema: pa.Schema) -> Fingerprint:
    return json.loads((schema.metadata or {}).get(_FINGERPRINT, b"{}"))


def read(folder: pathlib.Path, columns=None) -> pa.Table:
    """All records below a folder.

    Args:
        folder: of results, or of one model or attack in them.
        columns: names of the columns to read; None: all.

    Returns:
        The columns, and those of `DATASET`, `WEIGHTS`, `LARGEST_EPSILON` and
        `AT_THRESHOLD`, null where a file does not say it.

    Raises:
        FileNotFoundError: no records there.
        ValueError: a file that is damaged or holds no records, or more than
            one folder of results.
    """
    paths = sorted(folder.absolute().rglob("*.parquet"))
    if not paths:
        raise FileNotFoundError(
            f"no records (*.parquet) below {folder}; make some with `python "
            "-m dim_tf.evaluate`"
        )

    one = functools.partial(_read_file, columns=columns)
    tables = [_opened(one, path) for path in paths]
    places = sorted({str(path.parents[2]) for path in paths})
    if len(places) > 1:
        raise ValueError(
            f"{folder} holds several folders of results, such as {places[0]} "
            f"and {places[1]}, whose records are not to be mixed; name one"
        )
    return pa.concat_tables(tables)


def _read_file(path, columns) -> pa.Table:
    with pq.ParquetFile(path) as file:
        lacking = set(columns or SCHEMA.names) - {*file.schema_arrow.names}
        if lacking:
            raise ValueError(
                f"{path} holds no records of attacks: it has no columns "
                f"{', '.join(sorted(lacking))}; move it elsewhere"
            )
        own = file.read(columns)
    made_with = _fingerprint(own.schema)
    # None where the attack is to minimize the distance.
    epsilons = [*filter(None, made_with.get("epsilons", ()))]
    largest = max(epsilons, default=None)
    # Only what has no grid is moved toward the image; of that, what has an
    # epsilon was tried at it alone.
    alone = made_with.get("clip_tries") or path.parent.name.endswith(
        THRESHOLD_ALONE
    )
    for field, value in (
        (DATASET, made_with.get(DATASET.name)),
        (WEIGHTS, made_with.get(WEIGHTS.name)),
        (LARGEST_EPSILON, largest),
        (AT_THRESHOLD, largest if alone else None),
    ):
        repeated = pa.array([value] * len(own), field.type)
        own = own.append_column(field, repeated)
    return own.replace_schema_metadata()


def made_with(folder: pathlib.Path) -> dict[str, list[dict[str, Any]]]:
    """What records below a folder were made with: by model, of every file.

    Args:
        folder: as for `read`.

    Returns:
        Fingerprints, with what else files say, `versions` and `hardware`, and
        with the name of the attack in place of its settings.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.absolute().rglob("*.parquet")):
        schema = _opened(pq.read_schema, path)
        circumstances = (schema.metadata or {}).get(_CIRCUMSTANCES, b"{}")
        own = {
            **_fingerprint(schema),
            **json.loads(circumstances),
            "attack": path.parent.name,
        }
        found.setdefault(path.parent.parent.name, []).append(own)
    return found


def adversarials(
    folder: pathlib.Path, model: str, samples: Mapping[str, Collection[int]]
) -> dict[tuple[str, int], np.ndarray]:
    """Some adversarials of a model, without reading all the others.

    Args:
        folder: of the records, as for `read`.
        model: name.
        samples: which, by attack.

    Returns:
        By attack and sample: float `(height, width, channels)`. Without those
        that have none, and those of older files that may be of more than one
        shape.
    """
    found: dict[tuple[str, int], np.ndarray] = {}
    # The folder itself may be the model's or the attack's.
    for path in sorted(folder.resolve().rglob("*.parquet")):
        attack = path.parent.name
        if path.parent.parent.name != model or attack not in samples:
            continue
        wanted = pc.field("sample").isin(list(samples[attack]))
        wanted &= pc.field("adversarial").is_valid()
        columns = ["sample", "adversarial"]
        table = pq.read_table(path, columns=columns, filters=wanted)
        for row in table.to_pylist():
            pixels = row["adversarial"]
            shape = _image_shape(table.schema.metadata or {}, len(pixels))
            if shape:
                found[attack, row["sample"]] = np.reshape(pixels, shape)
    return found


def _image_shape(
    metadata: Mapping[bytes, bytes], pixels: int
) -> tuple[int, ...] | None:
    """The shape of a file's images; None: there is no telling.

    Older files do not say. A square number of pixels is a square gray image
    there, but a multiple of three is not: 8x6 in colors has as many as 12x12.
    """
    if _IMAGE_SHAPE in metadata:
        return tuple(json.loads(metadata[_IMAGE_SHAPE]))
    side = math.isqrt(pixels)
    return (side, side, 1) if side**2 == pixels and pixels % 3 else None


def _opened(function, path):
    try:
        return function(path)
    except (pa.ArrowException, OSError, EOFError) as error:
        # The file may be well, and the disk not.
        if getattr(error, "errno", None):
            raise
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} is damaged ({reason}); delete it, and `python -m "
            "dim_tf.evaluate` with the settings of before makes it again"
        ) from error
