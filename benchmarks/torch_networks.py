"""The classifiers of `benchmarks.networks` in torch."""

import torch

from benchmarks.networks import CLASSES, Problem

RECURRENT = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


class Classifier(torch.nn.Module):
    """The last hidden state of a recurrent network through a linear layer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.both_ways = problem.both_ways
        self.recurrent = RECURRENT[problem.cell](
            problem.features,
            problem.hidden,
            problem.layers,
            batch_first=True,
            bidirectional=problem.both_ways,
        )
        self.readout = torch.nn.Linear(problem.hidden * (2 if problem.both_ways else 1), CLASSES)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Returns the logits `[B, C]` of inputs `[B, T, F]`."""
        _, state = self.recurrent(inputs)
        last = state[0] if isinstance(state, tuple) else state  # [layers * directions, B, H]
        return self.readout(torch.cat([*last[-2:]], -1) if self.both_ways else last[-1])
