"""What has to be installed, before anything of it is imported."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
NEEDED = ("jax", "flax", "jaxtyping")


def wanting() -> str | None:
    """Returns in one line what is not there or too old; None if nothing is."""
    bounds = least_versions()
    found = {name: _version(name) for name in NEEDED}
    complaints = [
        f"{name} {version or 'is not there'}, which has to be {bounds[name]} at least"
        for name, version in found.items()
        if version is None or _numbers(version) < _numbers(bounds[name])
    ]
    return "; ".join(complaints) or None


def least_versions() -> dict[str, str]:
    """Returns the least versions that the project asks for."""
    dependencies = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    bounds = dict(text.split(">=", 1) for text in dependencies if ">=" in text)
    return {name: bounds[name] for name in NEEDED}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> list[int]:
    """Returns major, minor and micro; what a development version has behind them is left out."""
    return [int(number) for number in re.findall(r"\d+", version)[:3]]
