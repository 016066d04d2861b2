r"""Checks stored adversarials with nothing of this package but its files.

python -m dim_tf.export --model=all
python scripts/check_records.py results/local saved_models \
    data/mnist/t10k-images-idx3-ubyte.gz
"""

import gzip
import pathlib
import sys

import numpy as np
import pyarrow.parquet as pq
import tensorflow as tf

SIZES = {"l0": np.count_nonzero, "l1": lambda d: np.abs(d).sum()}
SIZES |= {"l2": np.linalg.norm, "linf": lambda d: np.abs(d).max()}


def main(results, saved_models, images):
    pixels = np.frombuffer(gzip.open(images).read(), np.uint8, offset=16)
    clean = pixels.reshape(-1, 784) / np.float32(255)
    checked, serving = 0, {}
    for path in sorted(pathlib.Path(results).rglob("*.parquet")):
        rows = pq.read_table(path).to_pylist()
        rows = [row for row in rows if row["adversarial"] is not None]
        if not rows:
            continue
        model = rows[0]["model"]
        if model not in serving:
            serving[model] = signature(pathlib.Path(saved_models, model))
        found = np.array([row["adversarial"] for row in rows], np.float32)
        assert found.min() >= 0 and found.max() <= 1, path
        answers = serving[model](found.reshape(-1, 28, 28, 1))
        labels = answers["label"].numpy()
        for row, image, label in zip(rows, found, labels):
            where = path, row["sample"]
            assert label == row["adversarial_prediction"] != row["label"], where
            change = np.float64(image) - np.float64(clean[row["sample"]])
            for norm, size in SIZES.items():
                assert np.isclose(size(change), row[f"distance_{norm}"]), where
        checked += len(rows)
    if not checked:
        sys.exit(f"no adversarials below {results}")
    print(f"{checked} adversarials are what their records say")


def signature(folder):
    """What the newest SavedModel of a folder makes of images."""
    versions = [path for path in folder.glob("[0-9]*") if path.name.isdigit()]
    if not versions:
        sys.exit(f"no SavedModel in {folder}: python -m dim_tf.export makes it")
    newest = max(versions, key=lambda version: int(version.name))
    model = tf.saved_model.load(str(newest))
    # A signature alone would not keep its model.
    return lambda images: model.signatures["serving_default"](images=images)


main(*sys.argv[1:])
