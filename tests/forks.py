"""Commands in processes that have imported TensorFlow already.

That is most of what a command takes that does not get far.
"""

import multiprocessing
import pathlib
import runpy
import subprocess
import sys
import tempfile

_CONTEXT = multiprocessing.get_context("forkserver")
# What the commands import, but not these themselves, which are to run anew.
_CONTEXT.set_forkserver_preload(
    ["dim_tf.training", "dim_tf.release", "dim_tf.robustness"]
)


def run(command, *arguments) -> subprocess.CompletedProcess:
    """What `python -m dim_tf.<command>` prints, and how it ends."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder) / name for name in ("out", "err")]
        argv = [command, *map(str, arguments)]
        process = _CONTEXT.Process(target=_main, args=(argv, paths))
        process.start()
        process.join()
        texts = [path.read_text() for path in paths]
    return subprocess.CompletedProcess(argv, process.exitcode, *texts)


def _main(argv, paths):
    # The process and its streams are nobody else's.
    sys.stdout, sys.stderr = (path.open("w") for path in paths)
    sys.argv = [f"{argv[0]}.py", *argv[1:]]
    try:
        runpy.run_module(f"dim_tf.{argv[0]}", run_name="__main__")
    finally:
        sys.stdout.close()
        sys.stderr.close()
