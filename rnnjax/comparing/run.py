"""A whole comparison, from what is asked for to its table, from top to bottom."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rnnjax.comparing import measuring, processes
from rnnjax.comparing.collect import TABLE, collect, is_written, table_text, write_results
from rnnjax.comparing.conduct import Conductor
from rnnjax.comparing.describe import describe
from rnnjax.comparing.ledger import Ledger, size_key
from rnnjax.comparing.page import PAGE
from rnnjax.comparing.plan import Comparison
from rnnjax.comparing.processes import Process, Share
from rnnjax.comparing.requests import draw_request, measure_request
from rnnjax.comparing.sizes import equal_parameters, num_parameters
from rnnjax.data import datasets
from rnnjax.data.sequences import num_features
from rnnjax.errors import RunError
from rnnjax.runs import lock
from rnnjax.runs.workdir import os_error_as_run_error
from rnnjax.system.messages import say
from rnnjax.system.outputs import write_output
from rnnjax.system.waiting import waiting
from rnnjax.training.first_check import check_own_cell
from rnnjax.training.task import build_task


def run(comparison: Comparison, num_jobs: int, order: str) -> None:
    """Runs what is missing of a comparison, and writes its table and pictures.

    Args:
      comparison: what is asked for.
      num_jobs: processes at a time.
      order: the column that the table is sorted by.

    Raises:
      ConfigError: for settings that cannot be, or a folder of another comparison; nothing is
        written.
      DataError: if the data is missing or altered; nothing is written.
      StoppedError: after SIGTERM or SIGINT, when the runs under way have saved.
      RunError: if no run has ended, or another process works in the folder.
    """
    out, shares = comparison.out, processes.shares(num_jobs)
    with waiting("checking variants"):
        ledger = Ledger(comparison)
        find_sizes(ledger)
        check(ledger)
    with os_error_as_run_error(out):
        out.mkdir(parents=True, exist_ok=True)
        with lock.locked(out, "--out"):
            ledger = Ledger(comparison)  # as it is now that no other process changes it
            find_sizes(ledger)
            ledger.save()
            if measuring.missing(ledger):
                with waiting("measuring how long it takes"):
                    _ask(measure_request(comparison), out / "measuring.log")
                ledger = Ledger(comparison)  # with the sizes that were found
            say(describe(ledger, num_jobs))
            Conductor(ledger, shares, lambda: write_results(ledger)).run()
            write_results(ledger)
            variants = collect(ledger)
            if not any(variant.right for variant in variants):
                reasons = [of.failure for variant in variants for of in variant.runs]
                raise RunError(f"no run has ended: {(reasons or ['every trial has failed'])[0]}")
            text = table_text(variants, order)
            if not (is_written(out, text) and (out / PAGE).exists()):
                with waiting("drawing"):
                    _ask(draw_request(comparison, order), out / "drawing.log")
                write_output(out / TABLE, text.encode())  # last: it tells that all is drawn
    say(f"{text.partition(chr(10) * 2)[0]}\n{out / PAGE} has the curves and how to read the table")


def find_sizes(ledger: Ledger) -> None:
    """Finds the hidden sizes with which all variants have as many parameters as the first."""
    if ledger.comparison.compute != "equal":
        return
    first, *others = ledger.comparison.variants
    target = num_parameters(ledger.config(first))
    for values in others:
        if size_key(values) not in ledger.sizes:
            ledger.sizes[size_key(values)] = equal_parameters(ledger.config(values), target)


def check(ledger: Ledger) -> None:
    """Looks at each variant whether it can be trained, before anything is written.

    Raises:
      ConfigError: for a model that cannot be, or a cell that does not hold to what cells do.
      DataError: if the data is missing or altered.
    """
    data = {}
    for values in ledger.comparison.variants:
        config = ledger.config(values)
        task = build_task(config)
        check_own_cell(task.model, num_features(config.data.sequence, task.dataset.image_shape))
        data[str(dataclasses.asdict(config.data))] = config.data
    for of_variant in data.values():
        datasets.load(of_variant)


def _ask(request: Mapping[str, Any], log: Path) -> None:
    """Has a process do something, with all of the machine."""
    if failure := Process(request, log, Share((), {})).failure:
        raise RunError(f"{log.stem} failed: {failure}")
