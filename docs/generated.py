"""What pages show of the code itself, in Markdown: every setting, every command."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from rnnjax.__main__ import COMMANDS
from rnnjax.config import Config, fields, range_in_words
from rnnjax.runs.workdir import FREE_ON_RESUME

ROOT = Path(__file__).parents[1]
WIDTH = "88"  # of what a command prints


def complete(app: Any, page: str, source: list[str]) -> None:
    """Puts what is generated in the place of its name, such as `{{ settings }}`, in a page."""
    del app, page
    for name, generate in (("{{ settings }}", settings), ("{{ commands }}", commands)):
        if name in source[0]:
            source[0] = source[0].replace(name, generate())


def settings() -> str:
    """Returns a table of all settings."""
    rows = ["| setting | default | meaning | values | on resume |", "|---|---|---|---|---|"]
    for name, field, default in fields(Config()):
        values = " ".join(f"`{choice}`" for choice in field.metadata.get("choices", ()))
        if type(default) in (int, float):
            values = range_in_words(field.metadata["bounds"]).replace("finite", "any")
        resume = "may change" if name in FREE_ON_RESUME else ""
        cells = (f"`{name}`", f"`{default!r}`", field.metadata["meaning"], values, resume)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def commands() -> str:
    """Returns a section for each command: what it does, and what `--help` prints."""
    return "\n\n".join(
        f"## {module}\n\n`python -m {module}` {what}.\n\n```text\n{help_of(module)}\n```"
        for module, what in COMMANDS.items()
    )


def help_of(module: str) -> str:
    """Returns what a command prints with `--help`, but for the settings, which have a table."""
    printed = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        env={**os.environ, "COLUMNS": WIDTH},
        capture_output=True,
        text=True,
        check=False,  # the one of absl's flags ends with 1
    ).stdout
    printed = re.sub(r"; its settings:\n.*?(?=\n *\(default: 'None')", "", printed, flags=re.DOTALL)
    return printed.replace(f"{ROOT}/", "").strip()  # the same wherever rnnjax is
