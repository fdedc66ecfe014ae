"""A whole comparison, from what is asked for to its table, from top to bottom."""

import dataclasses
from collections.abc import Sequence

from rnnjax.comparing import measuring, processes
from rnnjax.comparing.axes import EQUAL, EQUAL_SECONDS, Choice
from rnnjax.comparing.collect import TABLE, collect, is_written, table_text, write_results
from rnnjax.comparing.conduct import Conductor
from rnnjax.comparing.describe import describe, describe_rest
from rnnjax.comparing.ledger import Ledger, size_key
from rnnjax.comparing.page import PAGE
from rnnjax.comparing.plan import Comparison
from rnnjax.comparing.processes import Process, Share
from rnnjax.comparing.requests import draw_request, measure_request
from rnnjax.comparing.results import Variant
from rnnjax.comparing.sizes import equal_parameters, num_parameters, task_of
from rnnjax.config import Config, ParallelConfig
from rnnjax.data import datasets
from rnnjax.data.sequences import num_features
from rnnjax.errors import RunError
from rnnjax.runs import lock
from rnnjax.runs.workdir import check_writable, os_error_as_run_error
from rnnjax.system import files
from rnnjax.system.devices import choose, start
from rnnjax.system.messages import say
from rnnjax.system.outputs import write_output
from rnnjax.system.waiting import waiting
from rnnjax.training.first_check import check_own_cell
from rnnjax.training.memory import check_memory


def run(comparison: Comparison, order: str) -> None:
    """Runs what is missing of a comparison, and writes its table and pictures.

    Args:
      comparison: what is asked for.
      order: the column that the table is sorted by.

    Raises:
      ConfigError: for settings that cannot be, or a folder of another comparison; nothing is
        written.
      DataError: if the data is missing or altered; nothing is written.
      StoppedError: after SIGTERM or SIGINT, when the runs under way have saved.
      RunError: if no run has ended, another process works in the folder, or nothing can be drawn.
    """
    out, shares = comparison.out, processes.shares(comparison.num_jobs)
    check_writable(out, "--out")
    with os_error_as_run_error(out):
        with waiting("checking variants"):
            check(Ledger(comparison))
        out.mkdir(parents=True, exist_ok=True)
        with lock.locked(out, "--out"):
            ledger = Ledger(comparison)  # as it is now that no other process changes it
            find_sizes(ledger)
            ledger.save()
            ledger = _measured(ledger, shares[0])
            say(describe_rest(ledger))
            Conductor(ledger, shares, lambda: write_results(ledger)).run()
            write_results(ledger)
            variants = collect(ledger)
            if not any(variant.right for variant in variants):
                reasons = [of.failure for variant in variants for of in variant.runs]
                raise RunError(f"no run has ended: {(reasons or ['nothing was run'])[0]}")
            _show(ledger, variants, order)


def _measured(ledger: Ledger, share: Share) -> Ledger:
    """Says what is compared, and measures how long it takes; that may find sizes."""
    comparison = ledger.comparison
    finds_sizes = comparison.compute == EQUAL_SECONDS
    if not finds_sizes:
        say(describe(ledger))
    if measuring.missing(ledger):
        with waiting("measuring how long it takes", lines=True):
            log = comparison.out / "measuring.log"
            failure = Process(measure_request(comparison), log, share).wait()
        if failure and finds_sizes:
            raise RunError(f"the time of a step could not be measured: {failure}")
        ledger = Ledger(comparison)  # with what was found
    if finds_sizes:
        say(describe(ledger))
    return ledger


def _show(ledger: Ledger, variants: Sequence[Variant], order: str) -> None:
    """Writes the table, prints it, and draws, unless all that was done before."""
    out, text = ledger.comparison.out, table_text(variants, order)
    lines = text.partition("\n\n")[0]
    if is_written(out, text) and (out / PAGE).exists():
        say(f"{lines}\n{out / PAGE} has the curves and how to read the table")
        return
    files.remove(out / PAGE)  # what is left of another table: its absence has this one drawn
    write_output(out / TABLE, text.encode())
    say(lines)
    with waiting("drawing"):
        log = out / "drawing.log"
        failure = Process(draw_request(ledger, order), log, Share((), {})).wait()
    if failure:
        raise RunError(f"{out / PAGE} could not be drawn: {failure}")
    say(f"{out / PAGE} has the curves and how to read the table")


def find_sizes(ledger: Ledger) -> None:
    """Finds the hidden sizes with which all variants have as many parameters as the first."""
    if ledger.comparison.compute != EQUAL:
        return
    variants = ledger.comparison.variants
    if not ledger.target:
        ledger.set_target(num_parameters(ledger.config(variants[0])))
    for values in variants:
        if size_key(values) not in ledger.sizes:
            size = equal_parameters(ledger.config(values), int(ledger.target))
            ledger.sizes[size_key(values)] = size


def check(ledger: Ledger) -> None:
    """Looks at each variant whether it can be trained, before anything is written.

    Raises:
      ConfigError: for a model that cannot be, or a cell that does not hold to what cells do.
      DataError: if the data is missing or altered.
    """
    data, comparison = {}, ledger.comparison
    start(ledger.config(comparison.variants[0]).parallel.host_devices)  # the same of all
    find_sizes(ledger)
    for values in comparison.variants:
        for one in comparison.space:  # of each setting that is searched, alone
            ends = one.values if isinstance(one, Choice) else (one.low, one.high)
            for value in ends:
                _check_run(ledger.config({**values, one.name: value}))
        config = ledger.config(values)
        _check_run(dataclasses.replace(config, seeds=comparison.num_seeds_at_once))
        data[str(config.data)] = config.data
    ledger.due()  # whatever proposes trials is there
    for of_variant in data.values():
        datasets.load(of_variant)


def _check_run(config: Config) -> None:
    """Looks at the settings of a run as training does before it writes."""
    on_gpus = bool(processes.gpus())  # which this process does not see, nor their memory
    devices = choose(ParallelConfig() if on_gpus else config.parallel)
    devices.check_batch_size(config.batch_size, config.num_microbatches)
    task = task_of(config)
    check_own_cell(task.model, num_features(config.data.sequence, task.dataset.image_shape))
    if not on_gpus:
        check_memory(config, devices, task)
