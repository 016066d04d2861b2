#!/usr/bin/env bash
# Makes .venv and installs the package with the extras given, such as [dev].
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
if ! "$python" -c "$supported"; then
  echo "error: TensorFlow needs Python 3.11 to 3.13, $python is" \
    "$("$python" --version 2>&1); set PYTHON to another one" >&2
  exit 1
fi
# What is there already needs no network.
wanted="$(cat requirements.txt pyproject.toml | cksum) ${1:-}"
if grep -qsF "$wanted" .venv/installed; then
  exit
fi
# A venv that was cut short has a python but no pip.
.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check \
  --requirement requirements.txt --editable ".${1:-}"
echo "$wanted" >>.venv/installed
