#!/usr/bin/env bash
# Takes the README's screenshots of the page and of TensorBoard, with Chromium.
# They show the exported models and the trainings in runs/.
set -euo pipefail
cd "$(dirname "$0")/.."

.venv/bin/python -m dim_tf.export --model=all
.venv/bin/python -m dim_tf.serve --port=8599 &
served=$!
.venv/bin/tensorboard --logdir=runs --port=8598 2>/dev/null &
watched=$!
trap 'kill $served $watched' EXIT
.venv/bin/python scripts/screenshots.py \
  http://127.0.0.1:8599 docs/page.png \
  http://127.0.0.1:8598 docs/tensorboard.png
