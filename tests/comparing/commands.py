"""The command `compare` as docs/comparing.md has it, on runs of seconds, and what it leaves."""

import csv
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.training.runs import final_state

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "comparing.md").read_text()
CODE = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0]  # of leaky.py
WORDS = shlex.split(re.findall(r"^```bash\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0])
EVENING = WORDS[WORDS.index("--vary") :]  # what is compared there, over how many seeds
QUICK = (
    "--config=experiments/family.py",
    "--config.data.name=garments",
    "--config.num_steps=12",
    "--config.log_every_steps=4",
    "--config.eval_every_steps=6",
    "--config.checkpoint.every_steps=4",
    "--config.model.hidden_size=8",
    "--config.model.output_keep_prob=0.8",
)
TIMES = ("seconds", "ms_per_step", "peak_memory")


def prepare_evening(folder: Path) -> None:
    """Makes a folder in which the commands of the page can be typed: it has what they name."""
    folder.mkdir()
    (folder / "leaky.py").write_text(CODE)
    (folder / "experiments").symlink_to(ROOT / "experiments")


def compare(out: Path, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Runs the command in a folder, to its end."""
    process = start(out, *arguments, folder=folder)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def start(out: Path, *arguments: str, folder: Path = ROOT) -> subprocess.Popen[str]:
    """Starts the command."""
    return subprocess.Popen(
        [sys.executable, "-m", "rnnjax.compare", f"--out={out}", *QUICK, *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def rows(out: Path, name: str = "results.csv") -> list[dict[str, str]]:
    """Returns the rows of a table of runs."""
    with (out / name).open() as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> set[str]:
    """Returns the paths of all that is there.

    Left out are event files, whose names have the time, and the arrays of checkpoints, whose names
    are drawn at random.
    """
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and ".tfevents." not in path.name and "state" not in path.parts
    }


def without_times(value: Any) -> Any:
    """Returns JSON without what a clock has said, or what says nothing but that it is whole."""
    if isinstance(value, dict):
        aside = {*TIMES, "sha256"}
        return {key: without_times(of) for key, of in value.items() if key not in aside}
    return [without_times(of) for of in value] if isinstance(value, list) else value


def results(out: Path) -> dict[str, Any]:
    """Returns all that a comparison has come to but for times: its files and its arrays."""
    outcomes = sorted([*out.glob("runs/*/*.json"), *out.glob("trials/*.json")])
    stored = {str(path.relative_to(out)): json.loads(path.read_text()) for path in outcomes}
    table = [
        [cell for n, cell in enumerate(line.split(" | ")) if n != 2]  # ms per step
        for line in (out / "table.md").read_text().splitlines()
    ]
    return {
        "outcomes": without_times(stored),
        "json": without_times(json.loads((out / "results.json").read_text())),
        "csv": [{k: v for k, v in row.items() if k not in TIMES} for row in rows(out)],
        "table": table,
        "curves": (out / "curves.png").read_bytes(),
        "plan": json.loads((out / "plan.json").read_text()),
    }


def states(out: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of the newest checkpoints of all runs, by path."""
    return {
        f"{workdir.relative_to(out)}{path}": array
        for workdir in sorted(path.parent for path in out.glob("runs/*/*/checkpoints"))
        for path, array in final_state(workdir).items()
    }
