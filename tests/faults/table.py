"""The faults by number."""

import subprocess
from collections.abc import Callable

from rnnjax import __version__
from tests.faults import (
    damage,
    data,
    elsewhere,
    environment,
    kills,
    limits,
    planted,
    settings,
    several,
    signals,
    untrusted,
    vanished,
    workdirs,
)
from tests.faults.bench import Bench, Seen
from tests.faults.process import ROOT

FAULTS: dict[int, tuple[str, Callable[[Bench], Seen]]] = {
    1: ("SIGKILL at random moments, then restarted until done", kills.killed_anywhere),
    2: ("SIGTERM, SIGINT, and a second one", signals.told_to_stop),
    3: ("a file of the newest step damaged", damage.newest_damaged),
    4: ("all steps damaged", damage.all_damaged),
    5: ("disk full", workdirs.full_disk),
    6: ("workdir cannot be written", workdirs.read_only),
    7: ("a second run in the workdir", workdirs.in_use),
    8: ("another hidden size, cell, optimiser", settings.another_model),
    9: ("NaN", settings.not_finite),
    10: ("original or prepared data damaged", data.damaged),
    11: ("settings that cannot be", settings.wrong_settings),
    12: ("pickles, links, ../ and code planted", planted.planted),
    13: ("compilation cache gone bad", environment.compilation_cache),
    14: ("event files read back after kills", kills.read_back),
    15: ("clock set back a day", environment.clock),
    16: ("several processes: one stopped, killed, missing", several.processes),
    17: ("links, FIFOs, devices at every path of a run", untrusted.untrusted),
    18: ("figures forged, a step of another run", damage.figures_forged),
    19: ("other cores, instructions, devices, precision", elsewhere.elsewhere),
    20: ("workdir, lock or terminal gone during a run", vanished.vanished),
    21: ("too little memory, threads, open files, file size", limits.limits),
}


def commit() -> str:
    """Returns the commit's hash, which seeds the random moments; without git the version."""
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or __version__
