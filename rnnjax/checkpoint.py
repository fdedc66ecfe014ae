"""Checkpoints with Orbax: written while training goes on, whole or not at all."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from rnnjax.config import CheckpointConfig
from rnnjax.errors import NonFiniteError, RunError
from rnnjax.train_state import TrainState


class Restored(NamedTuple):
    state: TrainState  # on the host
    seconds: float  # training time of the run so far


class Checkpoints:
    """The checkpoints of a workdir, the newest `keep` of them."""

    def __init__(self, workdir: Path, config: CheckpointConfig) -> None:
        policy = checkpoint_managers.preservation_policy.LatestN(config.keep)
        self._manager = ocp.CheckpointManager(
            workdir.absolute() / "checkpoints",
            options=ocp.CheckpointManagerOptions(preservation_policy=policy),
        )

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def restore(self, like: TrainState) -> Restored:
        """Returns the newest checkpoint.

        Args:
          like: a state of the same shapes.

        Raises:
          RunError: if it cannot be read as such a state.
        """
        step = self.latest_step
        try:
            found = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(jax.device_get(like)),
                    progress=ocp.args.JsonRestore(),
                ),
            )
        except Exception as error:  # Orbax raises what its storage libraries raise
            reason = str(error).split("[tensorstore_spec")[0].strip()
            raise RunError(
                f"the checkpoint {self._manager.directory / str(step)} cannot be restored: {reason}"
                " -- move that folder away, and the next run goes on from the one before it"
            ) from error
        return Restored(found["state"], found["progress"]["seconds"])

    def save(self, state: TrainState, seconds: float) -> None:
        """Starts to save a state that is on one device; the next save waits for this one.

        Raises:
          NonFiniteError: if a parameter or anything else in it is NaN or infinite; it is not saved.
        """
        host: Any = jax.device_get(state)
        for path, leaf in jax.tree_util.tree_leaves_with_path(host):
            if not np.all(np.isfinite(leaf)):
                raise NonFiniteError(
                    f"{jax.tree_util.keystr(path)} is NaN or infinite at step {int(host.step)}"
                )
        self._manager.save(
            int(host.step),
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(host),
                progress=ocp.args.JsonSave({"seconds": seconds}),
            ),
        )

    def close(self) -> None:
        """Waits until all is on disk; raises what went wrong on the way."""
        self._manager.wait_until_finished()
        self._manager.close()
