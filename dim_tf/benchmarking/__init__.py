"""Timings of this project's own choices, printed as ratios."""
