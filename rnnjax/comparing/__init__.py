"""Comparisons over seeds: their plan, their processes, and what can be told of their runs."""
