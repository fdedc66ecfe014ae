"""A training run: the task, its pure steps, and the story of `train`."""
