"""Compares cells, or any other settings, over seeds: plans, trains, tells what can be told.

python -m rnnjax.compare --out=DIR --config=FILE --vary=NAME=VALUE,VALUE [--vary=...] [--seeds=5]

VALUES of --vary: `lstm,gru` are compared; `1e-4..1e-2`, `log:1e-4..1e-2` and `best:1e-3,3e-3` are
searched: for each row the best by validation accuracy is run over the seeds.
"""

import importlib.util
from collections.abc import Sequence

from absl import flags, logging

from rnnjax import __version__
from rnnjax.comparing import axes, search
from rnnjax.errors import ConfigError
from rnnjax.system import command_line, config_flag

_OUT = flags.DEFINE_string("out", "", "folder of the comparison; the same command goes on there")
_VARY = flags.DEFINE_multi_string(
    "vary", [], "setting and its values, such as model.cell=lstm,my_cells.py:LeakyCell"
)
_SEEDS = flags.DEFINE_integer("seeds", 5, "seeds of each row", lower_bound=1, upper_bound=1_000)
_AT_ONCE = flags.DEFINE_integer(
    "seeds_at_once", None, "most seeds in one program", lower_bound=1, upper_bound=1_000
)
_JOBS = flags.DEFINE_integer(
    "jobs", 1, "processes at a time, among which GPUs or cores are divided", lower_bound=1
)
_SEARCH = flags.DEFINE_integer(
    "search", None, "trials of searched values for each row", lower_bound=1
)
_SAMPLER = flags.DEFINE_enum(
    "sampler", "random", search.SAMPLERS, "what proposes trials; tpe is Optuna's"
)
_COMPUTE = flags.DEFINE_enum(
    "compute",
    axes.AS_SET,
    axes.COMPUTE,
    "equal: hidden sizes with the first row's number of parameters; equal-seconds: with its time",
)
_SORT = flags.DEFINE_string("sort", "validation accuracy", "column that the table is sorted by")
flags.adopt_module_key_flags(config_flag)


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses the command line; raises a RunError for whatever is wrong with it."""
    return config_flag.parse(argv, __version__, ["out"], lambda: axes.parse(_VARY.value))


def main(argv: Sequence[str]) -> None:
    del argv  # all in flags
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.FATAL)
    with command_line.errors_as_lines(debug=config_flag.DEBUG.value):
        command_line.begin_work(debug=config_flag.DEBUG.value)
        if importlib.util.find_spec("matplotlib") is None:
            raise ConfigError("a comparison needs Matplotlib: pip install -e '.[report]'")
        with command_line.loading_libraries():
            import jax

            # Runs have processes of their own, which need all of an accelerator.
            jax.config.update("jax_platforms", "cpu")
            from rnnjax.comparing import plan, table
            from rnnjax.comparing.run import run as run_comparison
            from rnnjax.system.files import local_path

        table.check_column(_SORT.value)
        comparison = plan.make(
            local_path("--out", _OUT.value),
            config_flag.CONFIG.value,
            _VARY.value,
            num_seeds=_SEEDS.value,
            seeds_at_once=_AT_ONCE.value,
            num_jobs=_JOBS.value,
            num_trials=_SEARCH.value or 0,
            sampler=_SAMPLER.value,
            compute=_COMPUTE.value,
        )
        run_comparison(comparison, _SORT.value)


def work() -> None:
    """Is a process of a comparison: does what the process that started it asks for."""
    command_line.prepare()
    with command_line.errors_as_lines():
        from rnnjax.comparing import processes

        request = processes.read_request()
        command_line.begin_work(debug=False)
        logging.set_verbosity(logging.FATAL)
        with command_line.loading_libraries():
            from rnnjax.comparing import requests
            from rnnjax.system import process
            from rnnjax.training.train import train

        process.tune()
        process.enable_compilation_cache()
        requests.fulfil(request, train)


def run() -> None:
    config_flag.run_command(main, parse_flags)


if __name__ == "__main__":
    run()
