"""That what runs a cell lowers for CUDA and for TPUs, on a machine with neither."""

import functools
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax import export
from jax.experimental import rnn
from jax.interpreters import mlir
from jaxlib import gpu_rnn

from rnnjax.cells import GRUCell, LSTMCell
from rnnjax.recurrent.implementations import IMPLEMENTATIONS
from rnnjax.recurrent.unroll import unroll
from tests.recurrent.accelerated import OPTIONS, arguments_for

DTYPES: dict[str, dict[str, Any]] = {
    "float32": {},
    "mixed": {"dtype": jnp.bfloat16},
    "bfloat16": {"dtype": jnp.bfloat16, "param_dtype": jnp.bfloat16},
}
CELLS: dict[str, Any] = {
    "lstm": LSTMCell,
    "gru": functools.partial(GRUCell, reset_after=True),
}
# Calls of kernels in a program, which JAX would otherwise not promise to run in a later version.
KERNELS = ("__gpu$xla.gpu.triton", "cudnn_rnn_ffi", "cudnn_rnn_bwd_ffi")
NOT_CHECKED = [export.DisabledSafetyCheck.custom_call(kernel) for kernel in KERNELS]

# What has a kernel for float32; that it is refused in bfloat16, tests/recurrent/test_gpu.py tells.
ACCELERATED = ("cudnn", "fused")


def lower(platform: str, cell: Any, **options: Any) -> str:
    """Returns the program of the outputs, the carry and all gradients."""

    def total(variables: Any, carry: Any, inputs: jax.Array) -> jax.Array:
        run: Any = nn.apply(unroll, cell)
        leaves = jax.tree.leaves(run(variables, inputs, initial_carry=carry, **options))
        return sum((leaf.astype(jnp.float32).sum() for leaf in leaves), jnp.zeros(()))

    variables, carry, inputs = arguments_for(cell)
    carry = jax.tree.map(lambda leaf: leaf.astype(cell.param_dtype), carry)
    function = jax.jit(jax.value_and_grad(total, (0, 1, 2)))
    exported = export.export(function, platforms=[platform], disabled_checks=NOT_CHECKED)
    return exported(variables, carry, inputs).mlir_module()


class Descriptors:
    """In the place of the library of JAX's plugin for CUDA, which asks cuDNN on a GPU."""

    @staticmethod
    def sizes(*sizes: Any) -> tuple[int, int]:
        """Of the workspace, and of what the forward pass leaves to the one backwards."""
        assert len(sizes) == 8
        return 128, 256

    @staticmethod
    def build_rnn_descriptor(*sizes: Any) -> bytes:
        assert sizes[-2:] == (128, 256)
        return b"descriptor"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """JAX's own lowering of cuDNN's LSTM, with a stand-in for what only a GPU can tell."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(
        gpu_rnn, "compute_rnn_workspace_reserve_space_sizes", Descriptors.sizes, raising=False
    )
    lowerings = {
        rnn.rnn_fwd_p: gpu_rnn.cudnn_rnn_lowering,
        rnn.rnn_bwd_p: gpu_rnn.cudnn_rnn_bwd_lowering,
    }
    for primitive, lowering in lowerings.items():
        with_stand_in = functools.partial(lowering.func, Descriptors, "cu")
        mlir.register_lowering(primitive, with_stand_in, platform="cuda")
    yield
    for primitive, lowering in lowerings.items():
        mlir.register_lowering(primitive, lowering, platform="cuda")


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("implementation", sorted({*IMPLEMENTATIONS} - {*ACCELERATED}))
def test_plain_programs_lower(implementation: str, name: str, dtype: str, platform: str) -> None:
    cell = CELLS[name](16, **DTYPES[dtype])
    program = lower(platform, cell, implementation=implementation)
    assert "stablehlo.while" in program
    assert "custom_call" not in program


def test_the_kernel_is_interpreted_on_tpus() -> None:
    """It is written for NVIDIA's; nothing of it is left to a TPU."""
    program = lower("tpu", LSTMCell(16), implementation="fused")
    assert "stablehlo.while" in program
    assert "custom_call" not in program


@pytest.mark.parametrize("options", OPTIONS, ids="+".join)
def test_cudnn_lowers(options: dict[str, Any], plugin: None) -> None:
    if options.get("return_carry") == "all":
        options = options | {"return_carry": "last"}
    program = lower("cuda", LSTMCell(16), implementation="cudnn", **options)
    assert program.count("@cudnn_rnn_ffi") == 1
    assert program.count("@cudnn_rnn_bwd_ffi") == 1
    assert "stablehlo.while" not in program
