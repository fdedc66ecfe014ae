"""A recurrence on a GPU: one kernel for all of time, or cuDNN's LSTM."""
