"""Ten models, 42 attacks, 1000 samples: the report stays quick and small."""

import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from dim_tf.attacks.suite import PAPER
from dim_tf.evaluation import results

SAMPLES = 1000
SECONDS, KILOBYTES = 20, 2_000_000


def write_shards(folder):
    generator = np.random.default_rng(0)
    image = generator.uniform(size=784).astype(np.float32)
    columns = {
        "sample": np.arange(SAMPLES),
        "status": SAMPLES * ["success"],
        "preset": SAMPLES * ["paper"],
        "adversarial": SAMPLES * [image],
        **{
            name: np.zeros(SAMPLES, np.int64)
            for name in ("label", "clean_prediction", "adversarial_prediction")
        },
        **{name: np.ones(SAMPLES) for name in ("epsilon", "gradient")},
        **{name: np.ones(SAMPLES) for name in results.COSTS},
        "seed": np.zeros(SAMPLES, np.int64),
        "message": SAMPLES * [""],
    }
    for number in range(10):
        for spec in PAPER.values():
            columns |= {
                "model": SAMPLES * [f"model_{number}"],
                "attack": SAMPLES * [spec.name],
                "norm": SAMPLES * [spec.norm],
                **{
                    f"distance_{norm}": generator.exponential(2, SAMPLES)
                    for norm in results.NORMS
                },
            }
            place = folder / f"model_{number}" / spec.name
            path = results.shard_path(place, range(SAMPLES))
            results.write_shard(path, columns, {})


@pytest.mark.slow
def test_a_large_report_is_quick_and_small(tmp_path):
    write_shards(tmp_path)
    started = time.monotonic()
    output = tmp_path / "report.html"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "dim_tf.report"),
            *(f"--results={tmp_path}", f"--output={output}"),
        ]
    )
    # RUSAGE_CHILDREN would tell of the largest process of any test.
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds, memory = time.monotonic() - started, usage.ru_maxrss
    assert process.returncode == 0
    assert "model_9, L0" in pathlib.Path(output).read_text()
    assert seconds < SECONDS
    assert memory < KILOBYTES
    print(f"{seconds:.1f} s, {memory / 1e6:.2f} GB")
