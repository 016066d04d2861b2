"""Measuring how robust a model is."""
