"""Makes of the docstrings and the fields of rnnjax what Sphinx reads."""

import dataclasses
import inspect
import re
from typing import Any

import flax.linen as nn
import jax
import numpy.typing as npt
from sphinx.util.typing import stringify_annotation

ATTRIBUTES = re.compile(r"Attributes(?: \((?:more in|and those of) `(\w+)`\))?:")
CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
NAME = re.compile(r"[\w.]+")
COMMENTED = re.compile(r"^    (\w+): .*?# (.*)$", re.MULTILINE)  # a field and what is said of it
# Signatures spell out what these stand for.
SHORT = {
    stringify_annotation(jax.typing.ArrayLike, "smart"): "ArrayLike",
    stringify_annotation(npt.ArrayLike, "smart"): "ArrayLike",
    "<factory>": "...",
}


def process(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Completes a docstring, in place: fields, and where to find those that are inherited."""
    del app, what, name, options
    if _is_named_tuple(value) and not any(lines):
        lines[:] = _fields(value)
    for number, line in enumerate(lines):
        if match := ATTRIBUTES.fullmatch(line.strip()):
            more = [f"More fields in :py:obj:`.{match[1]}`.", ""] if match[1] else []
            lines[number : number + 1] = [*more, "Fields:"]
    # What is no name would be a link to nowhere, less what Sphinx takes for its own signs.
    for number, line in enumerate(lines):
        lines[number] = CODE.sub(lambda m: m[0] if NAME.fullmatch(m[1]) else f"``{m[1]}``", line)


def sign(
    app: Any, what: str, name: str, value: Any, options: Any, signature: str | None, returns: Any
) -> tuple[str | None, Any]:
    """Returns a signature: of a module its own fields, not flax's; defaults and types by name."""
    del app, what, name, options
    if inspect.isclass(value) and issubclass(value, nn.Module):
        own = [f for f in dataclasses.fields(value) if f.name not in ("parent", "name")]
        return f"({', '.join(map(_with_default, own))})", returns
    for spelt, short in SHORT.items():
        signature = signature and signature.replace(spelt, short)
    return signature, returns


def _with_default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return field.name
    default = getattr(field.default, "__name__", repr(field.default))
    # What a factory such as `normal(0.1)` has returned does not know its name.
    return f"{field.name}={'...' if default == 'init' else default}"


def _is_named_tuple(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, tuple) and hasattr(value, "_fields")


def _fields(named_tuple: Any) -> list[str]:
    """Returns the docstring of a named tuple that has comments beside its fields instead of one."""
    said = dict(COMMENTED.findall(inspect.getsource(named_tuple)))
    lines = (f"  {field}: {said[field]}" for field in named_tuple._fields)
    return ["Fields:", *(re.sub(r"(\[.*?\])", r"`\1`", line) for line in lines)]
