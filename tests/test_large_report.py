"""Ten models, 42 attacks, 1000 samples: the report stays quick and small."""

import subprocess
import sys

import numpy as np
import pytest

from dim_tf.attacks.suite import PAPER
from dim_tf.evaluation import results

SAMPLES = 1000
# Of processors, whichever: almost three times what one of ours took.
SECONDS, KILOBYTES = 45, 2_000_000
# A process's peak memory is at least that of the one that started it, which
# therefore is a small one and not the tests'.
MEASURE = """
import resource, subprocess, sys
command = [sys.executable, "-m", "dim_tf.report", *sys.argv[1:]]
subprocess.run(command, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


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
    output = tmp_path / "report.html"
    arguments = [f"--results={tmp_path}", f"--output={output}"]
    process = subprocess.run(
        [sys.executable, "-c", MEASURE, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, kilobytes = map(float, process.stdout.splitlines()[-1].split())
    assert "model_9, L0" in output.read_text()
    assert seconds < SECONDS
    assert kilobytes < KILOBYTES
