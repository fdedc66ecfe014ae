"""`--config FILE`, `--debug` and `--version`: flags of the commands that train."""

import re
import sys
from collections.abc import Callable, Sequence

from absl import app, flags
from ml_collections import ConfigDict, config_flags

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
from rnnjax.validation import validate

DEBUG = flags.DEFINE_bool("debug", False, "show the traceback of an error")
VERSION = flags.DEFINE_bool("version", False, "print the version of rnnjax and exit")
_ARGUMENTS: list[str] = []  # where ml_collections looks for settings, once they are known
CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    f"experiment file, such as experiments/lstm.py; its settings:\n{describe(Config())}",
    sys_argv=_ARGUMENTS,
)


def run_command(
    main: Callable[[Sequence[str]], None], parse_flags: Callable[[Sequence[str]], list[str]]
) -> None:
    """Runs a command whose flags are absl's; what is wrong with them becomes a line.

    Args:
      main: does what the flags ask for.
      parse_flags: parses them.
    """
    command_line.prepare()
    with command_line.errors_as_lines(is_listing=True):
        app.run(main, flags_parser=parse_flags)


def parse(
    argv: Sequence[str], version: str, required: Sequence[str], check: Callable[[], object]
) -> list[str]:
    """Parses a command line, and checks the settings that it asks for.

    Args:
      argv: the program and its arguments.
      version: of rnnjax.
      required: names of flags that must be there, beside `config`.
      check: checks the other flags of the command, once they are parsed.

    Raises:
      RunError: for whatever is wrong.
    """
    try:
        argv = _with_flag_files(argv)
        argv, cell_options = split_cell_options(argv)
        _ARGUMENTS[:] = argv
        check_config_arguments(argv[1:])
        positional = flags.FLAGS(argv)
        if len(positional) > 1:
            raise ConfigError(f"unexpected argument {positional[1]!r}; settings are --config.NAME=")
        if VERSION.value:
            say(f"rnnjax {version}")
            sys.exit()
        for name in (*required, "config"):
            if not flags.FLAGS[name].value:
                raise ConfigError(f"--{name} is missing; --help tells more")
        check()
        getattr(CONFIG.value, "seed", None)  # raises the OSError that get_config may have raised
        if isinstance(CONFIG.value, Config):
            clear_none(CONFIG.value)
            model = CONFIG.value.model
            model.cell_options = ConfigDict({**model.cell_options, **cell_options})
        validate(CONFIG.value)
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
