"""What a run of a comparison has come to: a file beside its workdir, from which all tables follow.

A run is finished once its file is there. It is written from what is on the disk, so that a process
killed before has lost nothing but its seconds.
"""

import base64
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool

from rnnjax import stored_config
from rnnjax.comparing.sizes import num_parameters
from rnnjax.config import Config
from rnnjax.data import datasets
from rnnjax.errors import RunError
from rnnjax.reporting.page.curves import read_curves
from rnnjax.reporting.page.run_figures import Curve
from rnnjax.runs import sealed
from rnnjax.runs.result import Result, SeedResult
from rnnjax.seeds import seeds_of
from rnnjax.system.devices import choose
from rnnjax.training.evaluation import device_batches, evaluate
from rnnjax.training.task import compile_eval_step
from rnnjax.training.trained import Trained, read_trained


class SeedOutcome(NamedTuple):
    """What one seed has come to; of one that failed there is the reason only."""

    figures: SeedResult
    right: Bool[np.ndarray, " N"]  # whether each test image is told right
    curve: Curve  # validation accuracy over the steps


class Outcome(NamedTuple):
    """What a run has come to, of one seed or of several at once."""

    parameters: int
    seconds: float
    ms_per_step: float  # of one seed, the median; NaN where nothing tells it
    peak_memory: float  # bytes, of the process or of its device; NaN where nothing tells it
    seeds: Mapping[int, SeedOutcome]


NOTHING = SeedOutcome(SeedResult(0), np.zeros(0, bool), Curve(np.zeros(0, int), np.zeros(0)))


class Failure(NamedTuple):
    """Of a run that came to nothing."""

    parameters: int
    seeds: Sequence[int]
    reason: str


def failed(parameters: int, seeds: Sequence[int], reason: str) -> Outcome:
    """Returns the outcome of a run that came to nothing."""
    nothing = {seed: NOTHING._replace(figures=SeedResult(seed, failure=reason)) for seed in seeds}
    return Outcome(parameters, np.nan, np.nan, np.nan, nothing)


def record(config: Config, workdir: Path, result: Result, path: Path) -> None:
    """Writes the outcome of a run that is finished.

    Args:
      config: its settings.
      workdir: its folder.
      result: what it has come to.
      path: of the file, which is there whole or not at all.
    """
    figures = result.by_seed or (
        SeedResult(result.seed, result.test_accuracy, result.test_loss, result.validation_accuracy),
    )
    going_on = [of_seed.seed for of_seed in figures if of_seed.failure is None]
    trained = {seed: read_trained(workdir, seed=seed) for seed in going_on}
    right = _right(config, trained)
    curves = {seed: read_curves(of_seed.summaries).by_split for seed, of_seed in trained.items()}
    speeds = [
        of_seed["train"]["steps_per_second"].values
        for of_seed in curves.values()
        if "steps_per_second" in of_seed["train"]  # which a damaged file may not have
    ]
    content = {
        "settings": stored_config.to_dict(config),
        "parameters": num_parameters(config),
        "seconds": result.seconds,
        "ms_per_step": 1000 / float(np.median(np.concatenate(speeds))) / config.seeds
        if speeds
        else None,
        "peak_memory": peak_memory(),
        "seeds": [
            {
                **of_seed._asdict(),
                "right": _pack(right.get(of_seed.seed)),
                "curve": _plain(curves.get(of_seed.seed)),
            }
            for of_seed in figures
        ],
    }
    sealed.write(path, content)


def read(config: Config, path: Path) -> Outcome | None:
    """Returns the outcome of a run; None if it is not finished.

    Raises:
      RunError: if the file is not as it was written, or of other settings.
    """
    try:
        stored = sealed.read(path)
        if other := _other_settings(stored["settings"], config):
            raise sealed.DamagedFileError(f"{path} is of a run with another config.{other[0]}")
        seeds = {of_seed["seed"]: _parse(of_seed) for of_seed in stored["seeds"]}
        if [*seeds] != [*seeds_of(config)]:
            raise ValueError("other seeds")
        return Outcome(
            sealed.count(stored["parameters"]),
            sealed.number(stored["seconds"]),
            _known(stored["ms_per_step"]),
            _known(stored["peak_memory"]),
            seeds,
        )
    except FileNotFoundError:
        return None
    except sealed.SHAPE_ERRORS as error:
        reason = str(error) if isinstance(error, sealed.DamagedFileError) else f"{path} is damaged"
        raise RunError(f"{reason}; remove it, and it is made again") from error


def _other_settings(stored: Mapping[str, Any], config: Config) -> list[str]:
    """Returns the names of settings that figures depend on and that have another value now."""
    now = stored_config.to_dict(config)
    return [
        name
        for name, value in stored.items()
        if name not in stored_config.WITHOUT_EFFECT and now.get(name) != value
    ]


def _known(figure: object) -> float:
    return np.nan if figure is None else sealed.number(figure)


def peak_memory() -> float | None:
    """Returns the most bytes that this process has had, or its device; None where nobody knows."""
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    return None if peak is None else float(peak)


def _right(config: Config, trained: Mapping[int, Trained]) -> dict[int, Bool[np.ndarray, " N"]]:
    """Returns by seed which test images are told right, by the program that evaluates."""
    test = datasets.load(config.data).test
    devices = choose(config.parallel)
    batches = device_batches(devices, test, config.eval_batch_size)
    eval_step, right = None, {}
    for seed, of_seed in trained.items():
        eval_step = eval_step or compile_eval_step(of_seed.task, devices)
        params = devices.replicate(of_seed.params)
        evaluations = evaluate(devices, eval_step, params, batches, test.labels)
        assert evaluations is not None  # nothing stops it
        right[seed] = evaluations[0].predictions.guesses == test.labels
    return right


def _pack(right: Bool[np.ndarray, " N"] | None) -> dict[str, Any] | None:
    if right is None:
        return None
    return {"images": len(right), "bits": base64.b64encode(np.packbits(right).tobytes()).decode()}


def _plain(curves: Mapping[str, Mapping[str, Curve]] | None) -> dict[str, list[float]] | None:
    curve = (curves or {}).get("validation", {}).get("accuracy")
    return curve and {"steps": curve.steps.tolist(), "values": curve.values.tolist()}


def _parse(stored: dict[str, Any]) -> SeedOutcome:
    right, curve = stored.pop("right"), stored.pop("curve")
    of_seed = NOTHING._replace(figures=SeedResult(**stored))
    for figure in of_seed.figures[1:4]:
        _known(figure)
    str.encode(of_seed.figures.failure or "")
    if right is not None:
        bits = np.frombuffer(base64.b64decode(right["bits"], validate=True), np.uint8)
        if not 0 <= 8 * len(bits) - sealed.count(right["images"]) < 8:
            raise ValueError("other images")
        of_seed = of_seed._replace(right=np.unpackbits(bits, count=right["images"]).astype(bool))
    if curve is not None:
        steps, values = np.array(curve["steps"], int), np.array(curve["values"], float)
        if steps.shape != values.shape or steps.ndim != 1:
            raise ValueError("no curve")
        of_seed = of_seed._replace(curve=Curve(steps, values))
    return of_seed
