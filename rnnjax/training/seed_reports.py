"""What people see of a run: one terminal for all seeds, and the summaries of each."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rnnjax.classifier import Params
from rnnjax.reporting.lines import evaluation_line, training_line
from rnnjax.reporting.report import Report
from rnnjax.reporting.terminal import Display
from rnnjax.training.insight import Insight
from rnnjax.training.outcome import Evaluations, figures_of
from rnnjax.training.seeds import Seeds


class SeedReports(NamedTuple):
    """Shows what concerns the seeds that go on."""

    display: Display
    reports: Mapping[int, Report]  # by seed
    insight: Insight
    seeds: Seeds
    dataset: str  # its name

    def show_graph(self) -> None:
        """Shows the computation of the model."""
        self.insight.show_graph(self.reports.values())

    def show_training(
        self, step: int, epoch: float, figures: Mapping[int, Mapping[str, float]]
    ) -> None:
        """Shows each seed's averages over the steps since the last call."""
        self.display.line(training_line(step, epoch, [*figures.values()]))
        for seed, of_seed in figures.items():
            self.reports[seed].training(step, epoch, of_seed)

    def show_step(
        self, step: int, params: Params, last_hidden: Float[np.ndarray, "*N B H"]
    ) -> None:
        """Shows what all seeds are like after a step: parameters, gates, gradients.

        Args:
          step: the steps taken.
          params: after them.
          last_hidden: the last hidden states of a batch before.
        """
        for seed, (of_seed, hidden) in self.seeds.each((params, last_hidden)):
            self.reports[seed].last_hidden(step, "train", hidden)
            self.insight.show_parameters(self.reports[seed], step, of_seed)
            self.insight.show_inside(self.reports[seed], step, of_seed)

    def show_evaluations(self, step: int, evaluations: Evaluations) -> None:
        """Shows each seed's loss and accuracy on whole splits."""
        for split, by_seed in evaluations.items():
            figures = [{"loss": e.loss, "accuracy": e.accuracy} for e in by_seed.values()]
            self.display.line(evaluation_line(step, split, figures, self.dataset))
            for seed, of_seed in by_seed.items():
                report = self.reports[seed]
                report.evaluation(step, split, loss=of_seed.loss, accuracy=of_seed.accuracy)

    def show_predictions(self, step: int, evaluations: Evaluations, params: Params) -> None:
        """Shows classes, mistakes, and beliefs row by row."""
        for split, by_seed in evaluations.items():
            for seed, of_seed in by_seed.items():
                self.reports[seed].last_hidden(step, split, of_seed.last_hidden)
                self.insight.show_classes(self.reports[seed], step, split, of_seed.predictions)
        for seed, of_seed in self.seeds.each(params):
            self.insight.show_beliefs(self.reports[seed], step, of_seed)

    def show_end(self, step: int, evaluations: Evaluations, seconds: float) -> None:
        """Shows what each seed has come to."""
        for seed in self.seeds.going_on:
            figures = figures_of(evaluations, seed)
            figures |= {"num_parameters": self.insight.num_parameters, "seconds": seconds}
            self.reports[seed].end(step, figures)

    def flush(self) -> None:
        """Waits until all summaries are in their files."""
        for report in self.reports.values():
            report.flush()
