#!/usr/bin/env bash
# All checks: ruff, mypy, pytest. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh '[dev]'
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
# Most of the time goes into tracing graphs, which takes one core of a process.
# Optimizing foolbox's solvers takes numba longer than it saves in these tests.
NUMBA_OPT=0 .venv/bin/pytest --numprocesses=2 --dist=loadfile "$@"
