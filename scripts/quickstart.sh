#!/usr/bin/env bash
# From a clone to a trained, exported, attacked DIM and a page that shows how it
# held. The weights under saved_models/ stay as they are: what is trained here
# goes to build/.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "1/4 installing into .venv"
scripts/setup.sh
echo "2/4 training DIM on the bundled MNIST, a quarter as long as flags/dim.cfg"
# No first look at robustness: step 4 takes a longer one.
.venv/bin/python -m dim_tf.train --flagfile=flags/dim.cfg \
  --denoiser_epochs=7 --internal_epochs=8 --first_look=0 \
  --run_dir=build/runs/dim --saved_models=build/saved_models
echo "3/4 asking it about a photographed digit"
.venv/bin/python -m dim_tf.predict --model=build/saved_models/dim \
  --picture=build/seven.png examples/seven.jpg
echo "4/4 attacking it, its binarized variant and the CNN (quick suite)"
# On so few images XLA would compile for longer than it saves.
.venv/bin/python -m dim_tf.evaluate --suite=quick --num_examples=50 --xla=off \
  --models=build/saved_models/dim,build/saved_models/bi_dim,cnn \
  --results=build/results
.venv/bin/python -m dim_tf.report --results=build/results \
  --latents=build/saved_models/dim --latents_examples=400 --output=build/report.html
cat <<'END'

SavedModels   build/saved_models/{dim,bi_dim}/ (the newest number)
pictures      build/runs/dim/stages.png, build/seven.png
TensorBoard   .venv/bin/tensorboard --logdir build/runs
attacks       build/report.html
END
