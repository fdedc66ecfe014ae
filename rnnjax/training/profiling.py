"""A trace of some training steps, which TensorBoard's profile plugin and Perfetto open."""

from pathlib import Path

import jax

from rnnjax.errors import RunError
from rnnjax.reporting.terminal import waiting_on_primary
from rnnjax.system import distributed, files
from rnnjax.system.messages import warn

PARTS = ("plugins", "profile")  # where the plugin looks for traces, below a folder of event files


class Profiler:
    """Traces the dispatches that the steps to be traced are in.

    A run that goes on after them traces nothing. In all processes but the primary one it does
    nothing.

    Args:
      folder: of event files, below which the trace goes.
      steps: to be traced, as `config.profile_steps` names them: counted from 1; empty: none.
      num_taken: the steps taken before.
    """

    def __init__(self, folder: Path, steps: str, num_taken: int) -> None:
        self._folder = folder
        self._steps = parse(steps) if distributed.is_primary() else range(0)
        self._first: int | None = None  # step of a trace that is under way
        if self._steps and self._steps.start <= num_taken:
            warn(f"config.profile_steps={steps}: {num_taken} steps are taken; nothing is traced")

    def begins(self, steps: range) -> bool:
        """Whether the trace begins with these steps, those of a dispatch."""
        return bool(self._steps) and self._steps.start in steps

    def begin(self, first: int) -> None:
        """Begins the trace, once the steps before its first one are done.

        Raises:
          RunError: if something else in this process is being traced.
          OSError: if the trace's folder cannot be made.
        """
        for depth in range(1, len(PARTS) + 1):
            files.make_folder(self._folder.joinpath(*PARTS[:depth]))  # which refuses links
        try:
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
        except RuntimeError as error:
            raise RunError(f"config.profile_steps: {error}") from error
        self._first = first

    def ends(self, step: int) -> bool:
        """Whether the trace ends after so many steps."""
        return self._first is not None and step >= self._steps.stop - 1

    def end(self, step: int) -> str:
        """Ends the trace, once its steps are done; returns a line that says where it is."""
        first = self._first
        self.close()
        return f"steps {first} to {step} are traced in {self._folder.joinpath(*PARTS)}"

    def close(self) -> None:
        """Ends a trace that is under way."""
        if self._first is not None:
            self._first = None
            with waiting_on_primary("writing the trace"):
                jax.profiler.stop_trace()


def parse(text: str) -> range:
    """Returns the steps that `config.profile_steps` names.

    >>> parse("10-20")
    range(10, 21)
    >>> parse("")
    range(0, 0)
    """
    first, _, last = text.partition("-")
    return range(int(first), int(last) + 1) if text else range(0)
