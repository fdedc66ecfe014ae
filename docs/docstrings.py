"""Makes of the docstrings and the fields of rnnjax what Sphinx reads."""

import dataclasses
import inspect
import re
from typing import Any

import flax.linen as nn

INHERITED = re.compile(r"Attributes \((?:more in|and those of) `(\w+)`\):")
COMMENTED = re.compile(r"^    (\w+): .*?# (.*)$", re.MULTILINE)  # a field and what is said of it


def process(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Completes a docstring, in place: fields, and where to find those that are inherited."""
    del app, what, name, options
    if _is_named_tuple(value) and "".join(lines).startswith(f"{value.__name__}("):
        lines[:] = _fields(value)
    for number, line in enumerate(lines):
        if match := INHERITED.fullmatch(line.strip()):
            lines[number : number + 1] = [f"More fields in :py:obj:`.{match[1]}`.", "", "Attributes:"]


def sign(
    app: Any, what: str, name: str, value: Any, options: Any, signature: str | None, returns: Any
) -> tuple[str, Any] | None:
    """Returns a module's signature without flax's own fields, and with defaults by their names."""
    del app, what, name, options, signature
    if not inspect.isclass(value) or not issubclass(value, nn.Module):
        return None
    own = [f for f in dataclasses.fields(value) if f.name not in ("parent", "name")]
    return f"({', '.join(map(_with_default, own))})", returns


def _with_default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return field.name
    default = getattr(field.default, "__name__", repr(field.default))
    # What a factory such as `normal(0.1)` has returned does not know its name.
    return f"{field.name}={'...' if default == 'init' else default}"


def _is_named_tuple(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, tuple) and hasattr(value, "_fields")


def _fields(named_tuple: Any) -> list[str]:
    """Returns the docstring of a named tuple that has comments beside its fields instead."""
    said = dict(COMMENTED.findall(inspect.getsource(named_tuple)))
    return ["Attributes:", *(f"  {field}: {said[field]}" for field in named_tuple._fields)]
