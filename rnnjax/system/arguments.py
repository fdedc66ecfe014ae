"""Arguments of a command line, checked and completed before the flag parser reads them.

The parser says less of a missing file or a misspelt setting, and knows no names inside of a dict.
"""

import ast
import dataclasses
import difflib
import re
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from rnnjax.config import Config, fields
from rnnjax.errors import ConfigError, did_you_mean

# Of any name: `--config.model.cell_options.NAME=VALUE`.
CELL_OPTION = re.compile(r"--?config\.model\.cell_options\.(\w+)(?:=(.*))?", re.DOTALL)


KINDS = {
    int: "a whole number, such as 100",
    float: "a number, such as 0.001",
    bool: "True or False",
}
# What the flag parser says, and what is wanted instead.
WANTED = {
    "invalid literal for int()": KINDS[int],
    "could not convert string to float": KINDS[float],
    "('Non-boolean argument": KINDS[bool],
}


def say_wanted(error: flags.Error) -> str:
    """Returns what is wrong with a flag: of a value that cannot be parsed, what it must be.

    >>> say_wanted(flags.Error("flag --config.seed=x: invalid literal for int() with base 10: 'x'"))
    '--config.seed=x must be a whole number, such as 100'
    """
    for reason, wanted in WANTED.items():
        flag, is_that, _ = str(error).partition(f": {reason}")
        if is_that:
            return f"{flag.removeprefix('flag ')} must be {wanted}"
    return str(error)


def check_config_arguments(argv: Sequence[str]) -> None:
    """Refuses a missing config file and misspelt settings; its folder is where it may import from.

    Raises:
      ConfigError: naming the file or the setting.
    """
    known = [name for name, _, _ in fields(Config())]
    for argument, following in zip(argv, [*argv[1:], ""], strict=False):
        file = re.fullmatch(r"--?config(?:=(.*))?", argument)
        if file:
            # A colon starts an argument of get_config.
            path = Path((following if file[1] is None else file[1]).split(":")[0])
            _check_file(path)
            sys.path.append(str(path.parent.absolute()))
        setting = re.match(r"--?(?:no)?config\.([^=]*)", argument)
        if setting and setting[1] not in known:
            raise ConfigError(
                f"unknown setting config.{setting[1]}; {did_you_mean(setting[1], known)}"
            )


def _check_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        likely = Path("experiments", f"{path.stem}.py")
        others = [str(file) for file in sorted(Path("experiments").glob("*.py"))]
        close = [str(likely)] if likely.is_file() else difflib.get_close_matches(str(path), others)
        hint = f"; did you mean {close[0]}?" if close else ""
        reason = "does not exist" if isinstance(error, FileNotFoundError) else error.strerror
        raise ConfigError(f"the config file {str(path)!r} {reason}{hint}") from error
    if not stat.S_ISREG(mode):
        raise ConfigError(f"the config file {str(path)!r} is no file")


def split_cell_options(argv: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Returns the arguments but for the options of the cell, and these: {name: value}.

    Raises:
      ConfigError: for an option without a value.
    """
    matches = [(argument, CELL_OPTION.fullmatch(argument)) for argument in argv]
    options = {}
    for argument, match in matches:
        if match and match[2] is None:
            raise ConfigError(f"{argument} needs a value, as in {argument}=0.9")
        if match:
            options[match[1]] = parse_option(match[2])
    return [argument for argument, match in matches if not match], options


def clear_none(config: Config) -> None:
    """Makes texts empty that were given as `None`, which the parser takes for a text."""
    for section in (config, *(getattr(config, field.name) for field in dataclasses.fields(config))):
        for field in dataclasses.fields(section) if dataclasses.is_dataclass(section) else ():
            if field.type is str and getattr(section, field.name) == "None":
                setattr(section, field.name, "")


def parse_value(kind: type, text: str) -> Any:
    """Returns a setting of a type, which a text says.

    Raises:
      ConfigError: if it says none.
    """
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, LookupError):
        raise ConfigError(f"{text!r} must be {KINDS[kind]}") from None


def parse_option(text: str) -> Any:
    """Returns a value in Python's notation; any other text is text."""
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
