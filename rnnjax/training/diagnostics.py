"""A look inside of a recurrent model: how open its gates are, how gradients come back in time.

Each call of each cell is intercepted, so that this sees what the cells themselves compute. They are
then scanned step by step, whatever runs them in training.
"""

import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import unfreeze
from flax.traverse_util import flatten_dict
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array, Float

from rnnjax.cells import gates
from rnnjax.cells.base import Cell
from rnnjax.classifier import BACKWARDS, Classified, Classifier, Params
from rnnjax.data.batches import Batch
from rnnjax.data.sequences import Images, ToSequences, num_parts
from rnnjax.training.losses import loss

CLOSED, OPEN = 0.05, 0.95  # a gate below or above hardly passes a gradient to what moves it


class Diagnosis(NamedTuple):
    """What a look inside has shown, by layer; T in the order in which the layer reads the steps."""

    closed: dict[str, dict[str, Float[Array, " T"]]]  # by gate: share of its values below CLOSED
    open: dict[str, dict[str, Float[Array, " T"]]]  # the same above OPEN
    # Of a sequence's loss with respect to the carry before each step; the mean over sequences.
    gradient_norms: dict[str, Float[Array, " T"]]
    gradients: Params  # of the mean loss


class ClassifiedPrefixes(NamedTuple):
    """What a model makes of the first parts of sequences."""

    logits: Float[Array, "B R K"]
    last_hidden: Float[Array, "B R H"]  # the outputs that the readout saw


def diagnose(
    params: Params, batch: Batch, *, model: Classifier, to_sequences: ToSequences
) -> Diagnosis:
    """Looks inside of a model as it classifies a batch, without dropout.

    Args:
      params: its parameters.
      batch: the images and labels, leaves `[B, ...]`.
      model: the classifier.
      to_sequences: from images, uint8, to sequences `[B, T, F]`.
    """
    inputs = to_sequences(batch.images)
    model = model.clone(remat=False)  # whose chunks would be an axis of what is sown

    def run(params: Params, perturbations: Any) -> tuple[Float[Array, ""], Any]:
        with nn.intercept_methods(_watch()):
            classified, watched = model.apply(
                {"params": params, **perturbations}, inputs, mutable=["closed", "open"]
            )
        return loss(classified.logits, batch.labels).sum(), watched

    def perturb(params: Params) -> Any:
        with nn.intercept_methods(_watch()):
            return model.apply({"params": params}, inputs, mutable=["perturbations"])[1]

    zeros = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(perturb, params)
    )
    (gradients, of_carries), watched = jax.grad(run, argnums=(0, 1), has_aux=True)(params, zeros)
    size = len(batch.labels)
    return Diagnosis(
        closed=_by_layer(watched.get("closed", {})),
        open=_by_layer(watched.get("open", {})),
        gradient_norms=_norms(of_carries.get("perturbations", {})),
        gradients=jax.tree.map(lambda leaf: leaf / size, gradients),
    )


def classify_prefixes(
    params: Params, images: Images, *, model: Classifier, to_sequences: ToSequences
) -> ClassifiedPrefixes:
    """Classifies each sequence as if it had ended after each of R parts of it.

    The parts are rows, or as many steps as a row has pixels; of bidirectional models, each is what
    they say of the sequence so far.

    Args:
      params: its parameters.
      images: `[B, Y, X]`, or in colour `[B, Y, X, C]`, uint8.
      model: the classifier.
      to_sequences: from images to sequences `[B, T, F]`.
    """
    inputs = to_sequences(images)
    of_one = num_parts(images, inputs)
    lengths = inputs.shape[1] // of_one * (1 + jnp.arange(of_one))
    classified = model.apply(
        {"params": params},
        jnp.repeat(inputs, of_one, axis=0),
        jnp.tile(lengths, len(inputs)),
    )
    leaves = (leaf.reshape(len(inputs), of_one, -1) for leaf in typing.cast(Classified, classified))
    return ClassifiedPrefixes(*leaves)


def beliefs(
    params: Params, images: Images, *, model: Classifier, to_sequences: ToSequences
) -> Float[Array, "B R K"]:
    """Returns the probabilities of the classes after each part, as `classify_prefixes` has them."""
    return jax.nn.softmax(
        classify_prefixes(params, images, model=model, to_sequences=to_sequences).logits
    )


def _watch() -> Callable[..., Any]:
    """Returns an interceptor of flax that looks into cells, but not into those inside of one."""
    is_inside = False

    def intercept(
        call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any
    ) -> Any:
        nonlocal is_inside
        is_cell = isinstance(context.module, Cell) and context.method_name == "__call__"
        if is_inside or not is_cell:
            return call(*args, **kwargs)
        is_inside = True
        try:
            return _watch_call(context.module, call, *args)
        finally:
            is_inside = False

    return intercept


def _watch_call(cell: Cell, call: Callable[..., Any], carry: Any, inputs: Any) -> Any:
    """Calls a cell, with a perturbation of its carry, and sows how open its gates are."""

    def perturb(path: Any, leaf: Array) -> Array:
        has_gradient = jnp.issubdtype(leaf.dtype, jnp.floating)
        return cell.perturb(jax.tree_util.keystr(path), leaf) if has_gradient else leaf

    carry = jax.tree_util.tree_map_with_path(perturb, carry)
    traced, shapes = jax.make_jaxpr(call, return_shape=True)(carry, inputs)
    function, names = with_gates(traced)
    structure = jax.tree.structure(shapes)
    values = function(*jax.tree.leaves((carry, inputs)))
    for name, value in zip(names, values[structure.num_leaves :], strict=True):
        cell.sow("closed", name, (value < CLOSED).mean())
        cell.sow("open", name, (value > OPEN).mean())
    return jax.tree.unflatten(structure, values[: structure.num_leaves])


def with_gates(traced: ClosedJaxpr) -> tuple[Callable[..., list[Array]], list[str]]:
    """Returns a traced function, whose results are followed by its gates, and their names.

    The gates are those of `rnnjax.cells.gates`, but for those in a loop, or in a `jax.jit` or a
    `jax.checkpoint`, of the cell's own.
    """
    scopes = [(str(eqn.source_info.name_stack).rpartition("/")[2], eqn) for eqn in traced.eqns]
    found = [
        (scope.removeprefix(gates.PREFIX), eqn.outvars[0])
        for scope, eqn in scopes
        if scope.startswith(gates.PREFIX) and eqn.primitive.name == "logistic"
    ]
    jaxpr = traced.jaxpr
    outvars = [*jaxpr.outvars, *(value for _, value in found)]
    debug_info = jaxpr.debug_info._replace(result_paths=None)
    jaxpr = jaxpr.replace(outvars=outvars, debug_info=debug_info)
    return jaxpr_as_fun(traced.replace(jaxpr=jaxpr)), [name for name, _ in found]


def _by_layer(sown: Any) -> dict[str, dict[str, Float[Array, " T"]]]:
    """Returns {layer: {gate: shares}} of what was sown below the layers."""
    layers: dict[str, dict[str, Any]] = {}
    leaves: dict[tuple[str, ...], Any] = flatten_dict(unfreeze(sown))
    for (layer, *_, name), shares in leaves.items():
        of_one_name = jnp.stack(shares).mean(0)
        layers.setdefault(layer, {})[name] = _as_read(layer, of_one_name)
    return layers


def _norms(gradients: Any) -> dict[str, Float[Array, " T"]]:
    """Returns by layer the norm of all its carry, leaves `[T, B, ...]`; the mean over sequences."""
    layers: dict[str, list[Any]] = {}
    leaves: dict[tuple[str, ...], Any] = flatten_dict(unfreeze(gradients))
    for (layer, *_), leaf in leaves.items():
        flat = leaf.reshape(*leaf.shape[:2], -1).astype(jnp.result_type(float))
        layers.setdefault(layer, []).append(flat)
    return {
        layer: _as_read(layer, _norm(jnp.concatenate(parts, axis=-1)).mean(1))
        for layer, parts in layers.items()
    }


def _norm(x: Float[Array, "T B N"]) -> Float[Array, "T B"]:
    """Returns the norm of the last axis, also where squares would vanish or overflow."""
    largest = jnp.abs(x).max(-1, keepdims=True)
    scaled = x / jnp.where(largest > 0, largest, 1)
    return largest[..., 0] * jnp.sqrt(jnp.square(scaled).sum(-1))


def _as_read(layer: str, over_time: Float[Array, " T"]) -> Float[Array, " T"]:
    return over_time[::-1] if layer.endswith(BACKWARDS) else over_time
