"""A GPU measured by one command, `python -m benchmarks.gpu`."""
