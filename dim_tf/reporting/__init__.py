"""Turning records into tables and figures, without TensorFlow."""
