"""What pages show of the code itself, in Markdown: every setting, every command."""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from rnnjax.__main__ import COMMANDS
from rnnjax.config import Config, fields, limits
from rnnjax.runs.workdir import FREE_ON_RESUME

ROOT = Path(__file__).parents[1]
WIDTH = "78"  # of what a command prints


def complete(app: Any, page: str, source: list[str]) -> None:
    """Puts what is generated in the place of its name, such as `{{ settings }}`, in a page."""
    del app, page
    for name, generate in (("{{ settings }}", settings), ("{{ commands }}", commands)):
        if name in source[0]:
            source[0] = source[0].replace(name, generate())


def settings() -> str:
    """Returns a table of all settings."""
    rows = ["| setting | default | meaning | may change on resume |", "|---|---|---|---|"]
    for name, field, default in fields(Config()):
        meaning = field.metadata["meaning"].replace("_", r"\_")
        if choices := field.metadata.get("choices"):
            meaning += f": {', '.join(f'`{choice}`' for choice in choices)}"
        elif type(default) in (int, float):
            meaning += f" ({limits(field.metadata['bounds'])})"
        resume = "yes" if name in FREE_ON_RESUME else ""
        shown = str(default).strip()
        rows.append(f"| `{name}` | {f'`{shown}`' if shown else ''} | {meaning} | {resume} |")
    return "\n".join(rows)


def commands() -> str:
    """Returns a section for each command: what it does, and what `--help` prints."""
    sections = []
    for module, what in COMMANDS.items():
        said = re.sub(r"(--\w+)", r"`\1`", what)
        sections += [f"## {module}", f"`python -m {module}` {said}."]
        sections += [f"```text\n{help_of(module)}\n```"]
    return "\n\n".join(sections)


@functools.cache
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
