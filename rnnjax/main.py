"""Trains a recurrent classifier, or resumes one.

python -m rnnjax.main --workdir=DIR --config=FILE [--config.FIELD=VALUE ...]
"""

import re
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from rnnjax import __version__
from rnnjax.config import Config, describe
from rnnjax.errors import ConfigError, RunError, own_place
from rnnjax.system import command_line
from rnnjax.system.arguments import (
    check_config_arguments,
    clear_none,
    say_wanted,
    split_cell_options,
)
from rnnjax.system.messages import output_error_as_run_error, say
from rnnjax.system.waiting import waiting
from rnnjax.validation import validate

_WORKDIR = flags.DEFINE_string("workdir", "", "folder of checkpoints, summaries and results")
_DEBUG = flags.DEFINE_bool("debug", False, "show the traceback of an error")
_VERSION = flags.DEFINE_bool("version", False, "print the version of rnnjax and exit")
_DISTRIBUTED = flags.DEFINE_string(
    "distributed",
    "",
    "train in several processes: 'auto' (SLURM, Open MPI, TPU pods, Kubernetes), or "
    "HOST:PORT,PROCESSES,INDEX: where process 0 listens, how many there are, which this is",
)
_ARGUMENTS: list[str] = []  # where ml_collections looks for settings, once they are known
_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    f"experiment file, such as experiments/lstm.py; its settings:\n{describe(Config())}",
    sys_argv=_ARGUMENTS,
)


def parse_flags(argv: Sequence[str]) -> list[str]:
    """Parses the command line; raises a RunError for whatever is wrong with it."""
    try:
        argv = _with_flag_files(argv)
        argv, cell_options = split_cell_options(argv)
        _ARGUMENTS[:] = argv
        check_config_arguments(argv[1:])
        positional = flags.FLAGS(argv)
        if len(positional) > 1:
            raise ConfigError(f"unexpected argument {positional[1]!r}; settings are --config.NAME=")
        if _VERSION.value:
            say(f"rnnjax {__version__}")
            sys.exit()
        for name in ("workdir", "config"):
            if not flags.FLAGS[name].value:
                raise ConfigError(f"--{name} is missing; --help tells more")
        if not re.fullmatch(r"|auto|.+:\d+,\d+,\d+", _DISTRIBUTED.value):
            raise ConfigError(
                f"--distributed={_DISTRIBUTED.value} is neither 'auto' nor "
                "HOST:PORT,PROCESSES,INDEX, such as node1:1234,4,0"
            )
        getattr(_CONFIG.value, "seed", None)  # raises the OSError that get_config may have raised
        if isinstance(_CONFIG.value, Config):
            clear_none(_CONFIG.value)
            model = _CONFIG.value.model
            model.cell_options = ConfigDict({**model.cell_options, **cell_options})
        validate(_CONFIG.value)
    except RunError:
        raise
    except SystemExit:
        if flags.FLAGS.is_parsed() or _asks_for_help(argv):
            raise
        raise ConfigError("the config file ends the program by sys.exit") from None
    except BaseException as error:  # whatever a config file, which is code, may raise
        if _asks_for_help(argv) and isinstance(error, OSError) and own_place(error) is None:
            with output_error_as_run_error():
                raise
        raise ConfigError(_say_what_failed(error)) from None
    return positional


def _with_flag_files(argv: Sequence[str]) -> list[str]:
    """Returns the arguments, with those that `--flagfile=FILE` stands for in its place."""
    try:
        return flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
    except (flags.Error, ValueError) as error:
        reason = str(error).removeprefix("ERROR:: ")
        raise ConfigError(f"--flagfile: {reason}") from error


def _say_what_failed(error: BaseException) -> str:
    """Returns what is wrong with a flag, or in a config file."""
    cause = error  # or what made the parser raise an error of its own
    while (place := own_place(cause)) is None and (cause.__cause__ or cause.__context__):
        cause = cause.__cause__ or cause.__context__ or cause
    if place is None and isinstance(error, flags.Error):
        return say_wanted(error)
    if isinstance(error, AttributeError) and error.name == "get_config":
        return "the config file has no function get_config(), which returns the settings"
    try:
        text = str(cause)
    except Exception:  # its class is the config file's own, too
        text = ""
    reason = " ".join((f"{type(cause).__name__}:", *text.split()))
    return f"the config file failed: {reason}{f' ({place})' if place else ''}"


def _asks_for_help(argv: Sequence[str]) -> bool:
    return any(re.match(r"--?(\?|h|help(full|short|xml)?)(=.*)?$", arg) for arg in argv)


def main(argv: Sequence[str]) -> None:
    del argv  # all in flags
    # Orbax would log all files that it writes, CLU a traceback of each error that it raises.
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.FATAL)
    exit_process: Callable[[int], NoReturn] = sys.exit
    try:
        command_line.begin_work(debug=_DEBUG.value)
        with waiting("loading libraries"):
            # These import JAX and TensorFlow: not before --help has answered.
            from rnnjax.system import devices, distributed, process
            from rnnjax.training.train import train

        exit_process = distributed.exit_process
        process.tune()
        process.enable_compilation_cache()
        if _DISTRIBUTED.value:
            distributed.initialize(_DISTRIBUTED.value, __version__, debug=_DEBUG.value)
        with distributed.lost_process_as_run_error():
            devices.start()
            train(_CONFIG.value, _WORKDIR.value)
    except Exception as error:
        exit_process(command_line.report_error(error, debug=_DEBUG.value))


def run() -> None:
    command_line.prepare()
    with command_line.errors_as_lines(is_listing=True):
        app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    run()
