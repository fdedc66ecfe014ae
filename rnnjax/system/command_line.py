"""What the commands have in common: quiet libraries, signals, errors for people."""

import argparse
import contextlib
import faulthandler
import gc
import importlib.util
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from rnnjax.errors import ConfigError, RunError, own_place
from rnnjax.system.limits import check_limits
from rnnjax.system.messages import flush_output, warn
from rnnjax.system.waiting import waiting


class Parser(argparse.ArgumentParser):
    """A parser of arguments that says what is wrong with them in one line.

    Args:
      options: of `argparse.ArgumentParser`; lines of the description are printed as they are.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        print_error(ConfigError(f"{message}; --help tells more"))
        sys.exit(ConfigError.exit_code)


def add_run_arguments(parser: argparse.ArgumentParser, version: str) -> None:
    """Adds the arguments that say which model of a run is meant, and the common ones."""
    parser.add_argument("--workdir", type=Path, required=True, help="folder of a run")
    parser.add_argument("--step", type=int, help="one of its checkpoints; without it, the newest")
    parser.add_argument("--seed", type=int, help="one of its seeds; without it, the first")
    add_common_arguments(parser, version)


def add_common_arguments(parser: argparse.ArgumentParser, version: str) -> None:
    """Adds the arguments that all commands have."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=f"rnnjax {version}")


def prepare() -> None:
    """Sets up the process, before JAX and TensorFlow are imported."""
    if importlib.util.find_spec("fcntl") is None:
        print_error(RunError("rnnjax runs on Linux and macOS; on Windows, in WSL"))
        sys.exit(RunError.exit_code)
    # These handlers hold until training installs its own. They raise no exception, which would come
    # up in the middle of an import: some compiled modules crash at that.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: os._exit(128 + number))
    # TensorFlow, which only reads and writes files here, would announce its kernels on stderr.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    sys.unraisablehook = _report_unraisable
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    warnings.filterwarnings("ignore", ".*load_module", DeprecationWarning)  # of ml_collections
    if sys.stdout is None:  # the parent process has closed it
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 -- for the life of the process


def run(
    parse: Callable[[], argparse.Namespace],
    work: Callable[[argparse.Namespace], None],
    *,
    is_listing: bool = False,
) -> None:
    """Runs a command; whatever is wrong becomes a line on standard error, and an exit code.

    Args:
      parse: returns the arguments, `debug` among them.
      work: does what they ask for.
      is_listing: whether whoever reads the output may end it, as `| head` does, without a word.
    """
    prepare()
    with errors_as_lines(is_listing=True):
        arguments = parse()
    with errors_as_lines(debug=arguments.debug, is_listing=is_listing):
        begin_work(debug=arguments.debug)
        logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax would log all that it reads
        work(arguments)


def begin_work(*, debug: bool) -> None:
    """Sets up the process for what takes time, and must say why it ends.

    Args:
      debug: whether the dumps of libraries are to be seen.

    Raises:
      RunError: if the process may not have what the libraries need.
    """
    check_limits()
    if not debug:
        faulthandler.disable()  # absl enables it: it dumps all threads


@contextlib.contextmanager
def loading_libraries() -> Iterator[None]:
    """Shows that the block imports libraries; TensorFlow among them, the quick way.

    What they consist of stays for the life of the process. Python would look through it for garbage
    while more is imported, which is a quarter of the time, and again where the process ends.
    """
    with waiting("loading libraries"):
        gc.disable()
        try:
            from rnnjax import compat  # which imports JAX

            compat.import_tensorflow()
            yield
        finally:
            gc.freeze()
            gc.enable()


@contextlib.contextmanager
def errors_as_lines(*, debug: bool = False, is_listing: bool = False) -> Iterator[None]:
    """Ends the process with a line and an exit code if something goes wrong.

    Args:
      debug: whether to print the traceback as well.
      is_listing: whether whoever reads the output may end it, as `| head` does, without a word.
    """
    try:
        try:
            yield
        finally:
            flush_output()
    except Exception as error:
        if is_listing and isinstance(error.__cause__, BrokenPipeError):
            sys.exit(RunError.exit_code)
        sys.exit(report_error(error, debug=debug))


def _report_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    # When a save fails, Orbax's threads still answer to an event loop that it has closed, or could
    # not open. The save itself raises what failed.
    of_a_loop = getattr(unraisable.object, "__qualname__", "").startswith("BaseEventLoop.")
    if not of_a_loop and str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def print_error(error: RunError) -> None:
    """Prints an error as one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    warn(" ".join(lines))


def report_error(error: Exception, *, debug: bool) -> int:
    """Prints what went wrong, and returns the exit code.

    Args:
      error: what was raised.
      debug: whether to print the traceback as well.
    """
    if debug:
        traceback.print_exception(error)
    # Closing the writers after an error may fail as well, but the first is what matters.
    first: BaseException | None = error
    while first is not None and not isinstance(first, RunError):
        first = first.__context__
    if first is None:
        place = own_place(error) or "--debug shows where"
        first = RunError(f"{type(error).__name__}: {error} ({place})")
    print_error(first)
    return first.exit_code
