"""What every command shares: flags in, one-line errors out."""

import sys
import traceback
from collections.abc import Callable

from absl import app
from absl import flags
from absl import logging

# What bad input, a bad disk or a bad setting raises; anything else is a bug
# and keeps its traceback, which these show at --verbosity=1.
_EXPECTED = (ValueError, OSError, ArithmeticError)


def run(main: Callable[[list[str]], None], *, resumes: bool = False) -> None:
    """Runs a command's main function under absl.

    Args:
        main: takes the arguments left after flag parsing.
        resumes: whether the same command resumes where it was interrupted.
    """
    app.run(lambda argv: _guarded(main, argv, resumes), flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        _fail(error, 2)
    return []


def _guarded(main, argv, resumes):
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # absl's own default is INFO
    # Commands that need no TensorFlow must not import it.
    if tensorflow := sys.modules.get("tensorflow"):
        # Ten bits would not do for what is adversarial by a rounding.
        tensorflow.config.experimental.enable_tensor_float_32_execution(False)
    try:
        main(argv[1:])
    except KeyboardInterrupt:
        advice = "; the same command resumes where it was" if resumes else ""
        _fail("interrupted" + advice, 130)
    except Exception as error:
        if not _is_expected(error):
            raise
        if logging.get_verbosity() > logging.INFO:
            traceback.print_exc()
        _fail(error, 1)


def _is_expected(error: Exception) -> bool:
    tensorflow = sys.modules.get("tensorflow")
    extra = (tensorflow.errors.OpError,) if tensorflow else ()
    return isinstance(error, _EXPECTED + extra)


def _fail(problem, code: int) -> None:
    print(f"error: {' '.join(str(problem).split())}", file=sys.stderr)
    sys.exit(code)
