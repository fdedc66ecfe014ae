"""What a comparison asks processes of its own for, as JSON."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rnnjax import stored_config
from rnnjax.comparing import measuring, outcome, pictures, plan
from rnnjax.comparing.ledger import Ledger
from rnnjax.comparing.outcome import Failure
from rnnjax.comparing.plan import Comparison, Job
from rnnjax.config import Config
from rnnjax.runs.result import Result

Train = Callable[[Config, Path], Result]  # `training.train.train`


def train_request(job: Job, workdir: Path, record: Path) -> dict[str, Any]:
    """Returns what asks to train, or to go on, and to write in a file what it came to."""
    return {
        "do": "train",
        "settings": stored_config.to_dict(job.config),
        "workdir": str(workdir),
        "record": str(record),
    }


def draw_request(ledger: Ledger, order: str) -> dict[str, Any]:
    """Returns what asks to look into the best runs, and to draw.

    Args:
      ledger: of a comparison that is finished.
      order: the column that the table is sorted by.
    """
    return {"do": "draw", **_plain(ledger.comparison), "order": order, "failures": ledger.failures}


def measure_request(comparison: Comparison) -> dict[str, Any]:
    """Returns what asks to measure how long the runs of a comparison take."""
    return {"do": "measure", **_plain(comparison)}


def _plain(comparison: Comparison) -> dict[str, Any]:
    options = ("vary", "num_seeds", "seeds_at_once", "num_jobs", "num_trials", "sampler", "compute")
    return {
        "settings": stored_config.to_dict(comparison.config),
        "out": str(comparison.out),
        "options": {name: getattr(comparison, name) for name in options},
    }


def fulfil(request: Mapping[str, Any], train: Train) -> None:
    """Does what is asked for."""
    config = stored_config.from_dict(request["settings"])
    if request["do"] == "train":
        workdir = Path(request["workdir"])
        result = train(config, workdir)
        outcome.record(config, workdir, result, Path(request["record"]))
        return
    ledger = Ledger(plan.make(Path(request["out"]), config, **request["options"]))
    if request["do"] == "measure":
        measuring.measure_missing(ledger)
    else:
        for path, failure in request["failures"].items():
            ledger.fail(path, Failure(*failure))
        pictures.write_pictures(ledger, request["order"])
