"""A trace of some training steps, which TensorBoard's profile plugin and Perfetto open."""

from collections.abc import Callable
from pathlib import Path

import jax

from rnnjax.errors import RunError
from rnnjax.system import distributed, files

PARTS = ("plugins", "profile")  # where the plugin looks for traces, below a folder of event files


class Profiler:
    """Traces the dispatches that the steps to be traced are in.

    A run that goes on after them traces nothing. In all processes but the primary one it does
    nothing.

    Args:
      folder: of event files, below which the trace goes.
      steps: to be traced, as `config.profile_steps` names them: counted from 1; empty: none.
    """

    def __init__(self, folder: Path, steps: str) -> None:
        self._folder = folder
        self._steps = parse(steps) if distributed.is_primary() else range(0)
        self._is_tracing = False

    def before(self, state: jax.Array, steps: range) -> None:
        """Begins the trace if the first step to be traced is among those of this dispatch.

        Args:
          state: that is ready once the steps before it are done.
          steps: of this dispatch.

        Raises:
          RunError: if something else in this process is being traced.
          OSError: if the trace's folder cannot be made.
        """
        if not self._steps or self._steps.start not in steps:
            return
        jax.block_until_ready(state)
        for depth in range(1, len(PARTS) + 1):
            files.make_folder(self._folder.joinpath(*PARTS[:depth]))  # which refuses links
        try:
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
        except RuntimeError as error:
            raise RunError(f"config.profile_steps: {error}") from error
        self._is_tracing = True

    def after(self, state: jax.Array, step: int, say: Callable[[str], None]) -> None:
        """Ends the trace once its last step is taken.

        Args:
          state: that is ready once the steps so far are done.
          step: the steps taken.
          say: prints where the trace is.
        """
        if not self._is_tracing or step < self._steps.stop - 1:
            return
        jax.block_until_ready(state)
        self.close()
        first, last = self._steps.start, self._steps.stop - 1
        say(f"steps {first} to {last} are traced in {self._folder.joinpath(*PARTS)}")

    def close(self) -> None:
        """Ends a trace that is under way."""
        if self._is_tracing:
            self._is_tracing = False
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
