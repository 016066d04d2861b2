"""Denoised Internal Models in Keras and TensorFlow, and attacks on them."""

import os

# TensorFlow greets with its compiler flags and missing GPUs; it must be told
# before its first import not to. Errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
