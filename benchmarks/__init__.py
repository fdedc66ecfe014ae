"""Measurements, one command each; figures are medians, compared with something in the same run."""
