"""What is measured: the networks of `benchmarks.networks`, forward and in steps of SGD, by name.

All have the same weights, drawn as torch draws them. A JAX program is compiled before it is run,
and nothing waits for a result but the end of a turn.
"""

import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import rnn

from benchmarks.networks import (
    CLASSES,
    LastHidden,
    Problem,
    logits,
    mean_loss,
    of_flax,
    ours,
    planned_mib,
)
from rnnjax import interop
from rnnjax.cells import CELLS
from rnnjax.recurrent.implementations import IMPLEMENTATIONS
from rnnjax.recurrent.unroll import unroll

T = TypeVar("T")
K = TypeVar("K")

OURS = tuple(name for name in IMPLEMENTATIONS if name != "auto")
BASELINES = ("deferred", "scan")  # what "auto" takes by itself, and where that cannot be had
FLAX, CUDNN = "flax.linen.RNN", "jax.experimental.rnn"
TORCH = {"torch, CUDA": "cuda", "torch, CPU": "cpu"}  # where it runs
LEARNING_RATE = 1e-3


class NotThereError(Exception):
    """Something cannot be had here, which is no failure; the message says why."""


class Program(NamedTuple):
    """Something that can be timed; as `benchmarks.turns` has it."""

    runs: Mapping[str, Callable[[], Any]]  # "forward", which returns the logits, and "step"
    wait: Callable[[Any], Any]  # until what one of them has returned is there
    planned_mib: float | None  # of a step, as XLA plans it

    def milliseconds(self, what: str, times: int) -> float:
        run, result = self.runs[what], None
        start = time.perf_counter()
        for _ in range(times):
            result = run()
        self.wait(result)
        return (time.perf_counter() - start) / times * 1e3


class CompiledStep(NamedTuple):
    program: Any  # of params, inputs and labels
    data: tuple[jax.Array, jax.Array]  # inputs, labels

    def __call__(self, params: Any) -> tuple[Any, Any]:
        """Returns the new params, in the place of the old ones, and what else there is."""
        return self.program(params, *self.data)


def peers(kind: str) -> tuple[str, ...]:
    """Returns which networks of JAX's world have this kind too."""
    of_flax = (FLAX,) if kind in ("rnn", "gru", "lstm", "lstm_2_layers", "bilstm") else ()
    return (*of_flax, CUDNN) if "lstm" in kind else of_flax


def on_cpu() -> Any:
    """A context in which JAX computes on the CPU."""
    return jax.default_device(jax.devices("cpu")[0])


@functools.lru_cache(maxsize=2)
def draw_params(problem: Problem) -> dict[str, Any]:
    """Returns params of our network, arrays of NumPy, uniform as torch's."""
    if problem.cell not in CELLS:
        raise NotThereError(f"rnnjax has no cell {problem.cell!r}")
    model, last_hidden = ours(problem, "scan")
    init: Any = model.init if problem.both_ways else nn.init(unroll, model)  # pyright: ignore[reportArgumentType]
    one_step = jax.ShapeDtypeStruct((1, 1, problem.features), jnp.float32)
    variables = jax.eval_shape(
        lambda inputs: init(jax.random.key(0), inputs, implementation="scan"), one_step
    )
    hidden = jax.eval_shape(last_hidden, variables["params"], one_step)
    readout = {"kernel": np.empty((hidden.shape[-1], CLASSES)), "bias": np.empty(CLASSES)}
    shapes = {"network": variables["params"], "readout": readout}
    return draw_like(shapes, problem.hidden, seed=0)


def draw_like(arrays: T, hidden: int, seed: int) -> T:
    """Returns arrays of the same shapes, uniform as torch draws weights of so many units."""
    random, bound = np.random.default_rng([2, seed]), hidden**-0.5
    return jax.tree.map(
        lambda leaf: random.uniform(-bound, bound, leaf.shape).astype(np.float32), arrays
    )


def network(name: str, problem: Problem, **fields: Any) -> tuple[LastHidden, Any]:
    """Returns a network in JAX with its params.

    Args:
      name: one of ours, by what runs its steps, or of the peers.
      problem: with its sizes.
      **fields: of our cells.
    """
    if name not in (*OURS, FLAX, CUDNN):
        raise NotThereError(f"rnnjax has no implementation {name!r}")
    params = draw_params(problem)
    model, last_hidden = ours(problem, name if name in OURS else "scan", **fields)  # pyright: ignore[reportArgumentType]
    if name in OURS:
        return last_hidden, params
    if name == CUDNN and jax.default_backend() != "gpu":
        raise NotThereError("cuDNN needs a GPU")
    with on_cpu():
        if name == FLAX:
            weights = jax.device_get(interop.linen.save(model, params["network"]))
        else:
            weights = for_cudnn(interop.torch.save(model, params["network"]))
    return (of_flax if name == FLAX else of_cudnn)(problem), params | {"network": weights}


def for_cudnn(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the arrays of `torch.nn.LSTM` as `jax.experimental.rnn` has them: all in one.

    First all weights, then all biases; each layer by layer, and its reverse after it.
    """
    layers = [name.removeprefix("weight_ih") for name in arrays if name.startswith("weight_ih")]
    names = [
        f"{kind}_{of}{layer}"
        for kind in ("weight", "bias")
        for layer in sorted(layers)
        for of in ("ih", "hh")
    ]
    return np.concatenate([arrays[name].ravel() for name in names])


def of_cudnn(problem: Problem) -> LastHidden:
    """An LSTM by cuDNN, without anything of ours."""
    layers = problem.layers * (2 if problem.both_ways else 1)

    def last(weights: jax.Array, inputs: jax.Array) -> jax.Array:
        zeros = jnp.zeros((layers, inputs.shape[0], problem.hidden))
        lengths = jnp.full(inputs.shape[0], inputs.shape[1], jnp.int32)
        sizes = problem.features, problem.hidden, problem.layers, 0.0, problem.both_ways
        results: Any = rnn.lstm(inputs, zeros, zeros, weights, lengths, *sizes)
        _, hidden, _ = results
        return jnp.concatenate([hidden[-2], hidden[-1]], -1) if problem.both_ways else hidden[-1]

    return last


def update(
    last_hidden: LastHidden, params: Any, inputs: jax.Array, labels: jax.Array
) -> tuple[Any, jax.Array]:
    """Returns the params after a step of SGD, and the loss before it."""
    loss, gradients = jax.value_and_grad(functools.partial(mean_loss, last_hidden))(
        params, inputs, labels
    )
    return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, gradients), loss


def compile_step(
    problem: Problem, step: Callable[..., tuple[Any, Any]], params: Any
) -> CompiledStep:
    """Compiles `step(params, inputs, labels)`, which gives away its params, for the problem's."""
    data = jax.device_put((problem.inputs(), problem.labels().astype(np.int32)))
    compiled = jax.jit(step, donate_argnums=0).lower(params, *data).compile()
    return CompiledStep(compiled, data)


def of_steps(problem: Problem, step: Callable[..., tuple[Any, Any]], params: Any) -> Program:
    """A program of steps alone."""
    compiled = compile_step(problem, step, params)
    held = [jax.tree.map(jnp.array, params)]

    def run() -> Any:
        held[0], loss = compiled(held[0])
        return held[0], loss

    return Program({"step": run}, jax.block_until_ready, planned_mib(compiled.program))


def of_jax(problem: Problem, last_hidden: LastHidden, params: Any) -> Program:
    """A program of a network in JAX, forward and in steps."""
    inputs, at = jax.device_put((problem.inputs(), params))
    predict = jax.jit(functools.partial(logits, last_hidden)).lower(at, inputs).compile()
    steps = of_steps(problem, functools.partial(update, last_hidden), params)
    return steps._replace(runs={"forward": lambda: predict(at, inputs), **steps.runs})


def build(name: str, problem: Problem, **fields: Any) -> Program:
    """Returns the program of this name: of ours, of a peer in JAX, or of torch."""
    if name in TORCH:
        from benchmarks.gpu.torch_programs import of_torch

        return of_torch(problem, TORCH[name], **fields)
    return of_jax(problem, *network(name, problem, **fields))


def attempt(make: Callable[[], T]) -> T | Exception:
    """Returns a result, or what is raised in its place."""
    try:
        return make()
    except Exception as error:  # of any library: it is reported, and the rest goes on
        return error


def attempt_all(makers: Mapping[K, Callable[[], T]]) -> Iterator[tuple[K, T | Exception]]:
    """Yields all results, or what is raised in their place; XLA compiles several at once.

    Each as soon as it is there: another may never be.
    """
    with ThreadPoolExecutor(max(2, min(len(makers), os.cpu_count() or 1))) as pool:
        keys = {pool.submit(attempt, make): key for key, make in makers.items()}
        for future in as_completed(keys):
            yield keys[future], future.result()


def build_all(
    makers: Mapping[K, Callable[[], Program]],
) -> Iterator[tuple[K, Program | Exception]]:
    """Yields each program once it has run by itself, or what was raised."""

    def run_once(program: Program) -> Program:
        for what in program.runs:
            program.milliseconds(what, 1)
        return program

    for key, made in attempt_all(makers):
        failed = isinstance(made, Exception)
        yield key, made if failed else attempt(functools.partial(run_once, made))
