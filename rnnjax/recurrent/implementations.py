"""What can run a factored cell in the place of the plain scan, and which of it "auto" takes."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

import flax.linen as nn
import jax

from rnnjax import compat
from rnnjax.recurrent.deferred import scan_deferred
from rnnjax.recurrent.factored import (
    Advance,
    UnavailableError,
    factor,
    without_idle_wrappers,
)
from rnnjax.recurrent.state import Results, State, Steps

Implementation = Literal["auto", "scan", "deferred", "cudnn", "fused"]
IMPLEMENTATIONS: Final[tuple[str, ...]] = get_args(Implementation)

# By backend and class of cell, what is measured to be faster than "deferred". None is yet: on a GPU
# `python -m benchmarks.gpu` measures it, and prints the row.
FASTEST: Final[Mapping[str, Mapping[type[nn.RNNCellBase], Implementation]]] = MappingProxyType(
    {"cpu": {}, "gpu": {}, "tpu": {}}
)


def run_factored(
    implementation: Implementation,
    cell: nn.RNNCellBase,
    advance: Advance,
    state: State,
    steps: Steps,
    reverse: bool,
    unroll_factor: int,
    every_carry: bool,
    *,
    in_chunks: bool,
    only_lengths: bool,
) -> tuple[State, Results] | None:
    """Runs a factored cell over all of time, or returns None if the plain scan is to.

    Args:
      implementation: "auto" tries what is fastest on this backend, then "deferred".
      cell: bound to its parameters.
      advance: what is done with a step's carry and output.
      state: before the first step, leaves `[B, ...]`.
      steps: all of time.
      reverse: go from the last step to the first.
      unroll_factor: steps in one iteration of a compiled loop.
      every_carry: whether the results of a step have its carry in them.
      in_chunks: whether `remat` or `truncate_every` is asked for.
      only_lengths: whether the steps that count are the first of each sequence.

    Returns:
      The last state and the results of all steps, leaves `[T, ...]`; None for "scan", and for
      "auto" if nothing else can run this cell.

    Raises:
      ValueError: if the implementation is not "auto", and cannot be had; saying why.
    """
    cell_type = type(without_idle_wrappers(cell))
    candidates: tuple[Implementation, ...] = (implementation,)
    if implementation == "auto":
        fastest = FASTEST.get(jax.default_backend(), {}).get(cell_type, "deferred")
        candidates = (fastest, "deferred")
    for name in candidates:
        if name == "scan":
            return None
        try:
            if in_chunks:
                raise UnavailableError("remat and truncate_every are the scan's alone")
            if name == "cudnn" and not only_lengths:
                raise UnavailableError("cuDNN has lengths, but no mask")
            if name in ("cudnn", "fused") and steps.flags.restarts is not None:
                raise UnavailableError("no kernel has resets")
            return _run(name, cell, advance, state, steps, reverse, unroll_factor, every_carry)
        except UnavailableError as error:
            if implementation != "auto":
                raise ValueError(
                    f"implementation={name!r} cannot be had for {cell_type.__name__}: {error}"
                ) from error
    return None


def _run(
    implementation: Implementation,
    cell: nn.RNNCellBase,
    advance: Advance,
    state: State,
    steps: Steps,
    reverse: bool,
    unroll_factor: int,
    every_carry: bool,
) -> tuple[State, Results]:
    """Runs a cell by one implementation, or raises an UnavailableError that says why not."""
    factored = factor(cell, advance, state, steps)
    # Parameters may be made with one example, of which a kernel takes no less than a few.
    if implementation == "deferred" or (implementation == "fused" and cell.is_initializing()):
        return scan_deferred(
            factored.pointwise, reverse, unroll_factor, factored.products, state, *steps
        )
    if compat.varying_axes((factored.params, state, steps.inputs)):
        # A kernel does not say which of its results differ, as such a shard_map asks it to.
        raise UnavailableError("an array differs between the devices of a shard_map")
    # The kernels' libraries take a second to import.
    if implementation == "fused":
        from rnnjax.recurrent.gpu.fused import scan_fused

        return scan_fused(factored, state, steps, reverse=reverse)
    if every_carry:
        raise UnavailableError("cuDNN returns the last carry, not that of every step")
    from rnnjax.recurrent.gpu.cudnn import scan_cudnn

    carry, outputs = scan_cudnn(factored, state, steps, reverse=reverse)
    return state._replace(carry=carry), (outputs, None)
