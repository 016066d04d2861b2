#!/usr/bin/env bash
# From a clone to a trained, exported DIM. The weights under saved_models/ stay
# as they are: what is trained here goes to build/.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "1/3 installing into .venv"
scripts/setup.sh
echo "2/3 training DIM (flags/dim.cfg) on the bundled MNIST"
.venv/bin/python -m dim_tf.train --flagfile=flags/dim.cfg \
  --run_dir=build/runs/dim --saved_models=build/saved_models
echo "3/3 asking it about a photographed digit"
.venv/bin/python -m dim_tf.predict --model=build/saved_models/dim \
  --picture=build/seven.png examples/seven.jpg
cat <<'END'

SavedModels   build/saved_models/{dim,bi_dim}/ (the newest number)
pictures      build/runs/dim/stages.png, build/seven.png
TensorBoard   .venv/bin/tensorboard --logdir build/runs
END
