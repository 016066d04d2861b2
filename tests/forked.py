"""Commands in forks of a process that has imported what all of them need.

Importing TensorFlow takes longer than most of what a refusal does.
"""

import contextlib
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
_TIMEOUT = 300  # seconds


@contextlib.contextmanager
def commands():
    """Gives a function that runs commands of the package, as a shell would."""
    server = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )

    def run(command, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder, name) for name in ("out", "err")]
            asked = (
                [f"dim_tf.{command}", *map(str, arguments)],
                [*map(str, paths)],
            )
            print(json.dumps(asked), file=server.stdin, flush=True)
            code = int(server.stdout.readline())
            out, err = (path.read_text() for path in paths)
        return subprocess.CompletedProcess(asked[0], code, out, err)

    with server:  # which ends once its input does
        yield run


def _serve():
    for line in sys.stdin:
        arguments, paths = json.loads(line)
        child = os.fork()
        if not child:
            signal.alarm(_TIMEOUT)
            for descriptor, path in enumerate(paths, 1):
                os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), descriptor)
            sys.argv = arguments
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    import dim_tf.robustness  # noqa: F401  # and with it most of the package

    _serve()
