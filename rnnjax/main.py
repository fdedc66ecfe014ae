"""Trains a recurrent classifier, or resumes one.

python -m rnnjax.main --workdir=DIR --config=FILE [--config.FIELD=VALUE ...]
"""

import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import flags, logging

from rnnjax import __version__
from rnnjax.errors import ConfigError
from rnnjax.system import command_line, config_flag

_WORKDIR = flags.DEFINE_string("workdir", "", "folder of checkpoints, summaries and results")
_DISTRIBUTED = flags.DEFINE_string(
    "distributed",
    "",
    "train in several processes: 'auto' (SLURM, Open MPI, TPU pods, Kubernetes), or "
    "HOST:PORT,PROCESSES,INDEX: where process 0 listens, how many there are, which this is",
)
flags.adopt_module_key_flags(config_flag)


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses the command line; raises a RunError for whatever is wrong with it."""
    return config_flag.parse(argv, __version__, ["workdir"], _check_distributed)


def _check_distributed() -> None:
    if not re.fullmatch(r"|auto|.+:\d+,\d+,\d+", _DISTRIBUTED.value):
        raise ConfigError(
            f"--distributed={_DISTRIBUTED.value} is neither 'auto' nor "
            "HOST:PORT,PROCESSES,INDEX, such as node1:1234,4,0"
        )


def main(argv: Sequence[str]) -> None:
    del argv  # all in flags
    debug = config_flag.DEBUG.value
    # Orbax would log all files that it writes, CLU a traceback of each error that it raises.
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.FATAL)
    exit_process: Callable[[int], NoReturn] = sys.exit
    try:
        command_line.begin_work(debug=debug)
        with command_line.loading_libraries():
            # These import JAX and TensorFlow: not before --help has answered.
            from rnnjax.system import distributed, process
            from rnnjax.training.train import train

        exit_process = distributed.exit_process
        process.tune()
        process.enable_compilation_cache()
        if _DISTRIBUTED.value:
            distributed.initialize(_DISTRIBUTED.value, __version__, debug=debug)
        with distributed.lost_process_as_run_error():
            train(config_flag.CONFIG.value, _WORKDIR.value)
    except Exception as error:
        exit_process(command_line.report_error(error, debug=debug))


def run() -> None:
    config_flag.run_command(main, parse_flags)


if __name__ == "__main__":
    run()
