"""Trains a recurrent classifier, or resumes one.

python -m rnnjax.main --workdir=DIR --config=FILE [--config.FIELD=VALUE ...]
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from rnnjax import __version__
from rnnjax.config import Config, describe, fields, validate
from rnnjax.errors import ConfigError, RunError, did_you_mean
from rnnjax.system import command_line

_WORKDIR = flags.DEFINE_string("workdir", "", "folder of checkpoints, summaries and results")
_DEBUG = flags.DEFINE_bool("debug", False, "show the traceback of an error")
_VERSION = flags.DEFINE_bool("version", False, "print the version of rnnjax and exit")
_DISTRIBUTED = flags.DEFINE_string(
    "distributed",
    "",
    "train in several processes: 'auto' (SLURM, Open MPI, TPU pods, Kubernetes), or "
    "HOST:PORT,PROCESSES,INDEX: where process 0 listens, how many there are, which this is",
)
_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    f"experiment file, such as experiments/lstm.py; its settings:\n{describe(Config())}",
)


def check_config_arguments(argv: Sequence[str]) -> None:
    """Refuses a missing config file and misspelt settings, of which the flag parser says less.

    Raises:
      ConfigError: naming the file or the setting.
    """
    known = [name for name, _, _ in fields(Config())]
    for argument, following in zip(argv, [*argv[1:], ""], strict=True):
        file = re.fullmatch(r"--?config(?:=(.*))?", argument)
        if file:
            # A colon starts an argument of get_config.
            path = (following if file[1] is None else file[1]).split(":")[0]
            if not Path(path).is_file():
                raise ConfigError(f"the config file {path!r} does not exist")
        setting = re.match(r"--?(?:no)?config\.([^=]*)", argument)
        if setting and setting[1] not in known:
            raise ConfigError(
                f"unknown setting config.{setting[1]}; {did_you_mean(setting[1], known)}"
            )


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses the command line; whatever is wrong with it ends in one line and exit code 2."""
    try:
        check_config_arguments(argv[1:])
        positional = flags.FLAGS(argv)
        if len(positional) > 1:
            raise ConfigError(f"unexpected argument {positional[1]!r}; settings are --config.NAME=")
        if _VERSION.value:
            print(f"rnnjax {__version__}")
            sys.exit()
        for name in ("workdir", "config"):
            if not flags.FLAGS[name].value:
                raise ConfigError(f"--{name} is missing; --help tells more")
        if not re.fullmatch(r"|auto|.+:\d+,\d+,\d+", _DISTRIBUTED.value):
            raise ConfigError(
                f"--distributed={_DISTRIBUTED.value} is neither 'auto' nor "
                "HOST:PORT,PROCESSES,INDEX, such as node1:1234,4,0"
            )
        validate(_CONFIG.value)
    except RunError as error:
        exit_with(error)
    except flags.Error as error:
        exit_with(ConfigError(str(error)))
    except Exception as error:  # whatever a config file, which is code, may raise
        exit_with(ConfigError(f"the config file failed: {type(error).__name__}: {error}"))
    return positional


def exit_with(error: RunError) -> NoReturn:
    command_line.print_error(error)
    sys.exit(error.exit_code)


def main(argv: Sequence[str]) -> None:
    del argv  # all in flags
    # Orbax would log all files that it writes, CLU a traceback of each error that it raises.
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.FATAL)
    # These import JAX and TensorFlow: not before --help has answered.
    from rnnjax.system import distributed, process
    from rnnjax.training.train import train

    process.tune()
    process.enable_compilation_cache()
    try:
        if _DISTRIBUTED.value:
            distributed.initialize(_DISTRIBUTED.value)
        with distributed.lost_process_as_run_error():
            train(_CONFIG.value, _WORKDIR.value)
    except Exception as error:
        distributed.exit_process(command_line.report_error(error, debug=_DEBUG.value))


def run() -> None:
    command_line.prepare()
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    run()
