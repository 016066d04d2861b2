"""Classifies digits with a SavedModel; needs TensorFlow alone, not dim_tf.

python -m dim_tf.export --model=dim    # this makes it, and does need dim_tf
python examples/load_saved_model.py saved_models/dim/1 examples/digits.npy
"""

import sys

import numpy as np
import tensorflow as tf

folder, file = sys.argv[1:]
serve = tf.saved_model.load(folder).signatures["serving_default"]
images = np.load(file).astype(np.float32) / 255
outputs = serve(images=tf.constant(images))
for label, scores in zip(outputs["label"], outputs["scores"], strict=True):
    print(f"{label.numpy()} with a score of {scores.numpy().max():.2f}")
