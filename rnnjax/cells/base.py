"""What the cells share: the contract and the arithmetic of a step.

A cell is a `flax.linen.RNNCellBase`, `new_carry, y = cell(carry, x)`. So it works in
`flax.linen.RNN`, and flax's own cells work in `rnnjax.recurrent.unroll`.
`Cell` makes one of pure functions of named parameters.

Two dtypes: products are computed in `dtype`; pointwise arithmetic and the carry keep the carry's
dtype, so that with bfloat16 products a float32 memory still adds up small changes.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, PRNGKeyArray

from rnnjax.cells.checks import (
    Undeclared,
    check_bound,
    check_carry_type,
    check_class,
    check_features,
    check_results,
    class_and_line,
)
from rnnjax.cells.linear import Dense
from rnnjax.cells.products import check_products, first_floating, multiply, split_gates
from rnnjax.cells.types import Carry, Params, Products

P = TypeVar("P")


class Cell(nn.RNNCellBase):
    """A cell made of pure functions; its subclasses say which.

    A subclass gives `carry_type`, `source`, `parameters` and either `pointwise` or `step`. One
    whose step is products with weights followed by pointwise arithmetic is *factored*: it gives
    `pointwise`, and declares `products` unless there is only the usual one, `[x, h] W + b`. Then
    whatever unrolls it may place the products where they cost least. All others give `step` as a
    whole.

    Attributes:
      features: units H.
      kernel_init: of the weights; TF1's default, Glorot uniform.
      bias_init: of the biases.
      dtype: of the products and the output; None: that of the parameters.
      param_dtype: of the parameters and of the initial carry.
    """

    features: int
    kernel_init: Initializer = nn.initializers.glorot_uniform()
    bias_init: Initializer = nn.initializers.zeros
    dtype: DTypeLike | None = None
    param_dtype: DTypeLike = jnp.float32

    carry_type: ClassVar[Any]  # a NamedTuple of arrays [..., H]
    source: ClassVar[str]  # authors and year
    pointwise_params: ClassVar[tuple[str, ...]] = ()  # those that `pointwise` reads
    # By name, the gates of parameters whose products are not declared: equal blocks of columns.
    parameter_gates: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    output_field: ClassVar[str | None] = "hidden"  # of the carry; None: the output is no part of it

    def __init_subclass__(cls, **options: Any) -> None:
        check_class(cls)
        super().__init_subclass__(**options)

    def __post_init__(self) -> None:
        check_carry_type(self)
        check_features(self)
        super().__post_init__()

    def parameters(self, num_inputs: int) -> Params:
        """Returns the cell's parameters, a NamedTuple, for inputs of F features; `nn.compact`."""
        raise NotImplementedError(f"{class_and_line(self)} has no method parameters")

    @nn.nowrap
    def products(self, params: Params) -> Products:
        """Declares the products with weights: one of `cells.linear`, or a NamedTuple of several.

        Args:
          params: the parameters in `dtype`.
        """
        if not {"kernel", "bias"} <= {*params._fields}:
            raise NotImplementedError(
                f"{class_and_line(self)} has no method products, and the usual product needs "
                f"parameters named kernel and bias: it has {', '.join(params._fields)}"
            )
        return Dense(("inputs", "hidden"), params.kernel, params.bias)

    @nn.nowrap
    def pointwise(self, params: Params, carry: Carry, products: Products) -> tuple[Carry, Array]:
        """Returns the new carry and the output `[..., H]`.

        Args:
          params: those that `pointwise_params` names, as they are stored.
          carry: before the step.
          products: the declared products, in the carry's dtype; those with gates as tuples.
        """
        raise NotImplementedError(f"{class_and_line(self)} has neither a pointwise nor a step")

    @nn.nowrap
    def step(self, params: Params, carry: Carry, inputs: Array) -> tuple[Carry, Array]:
        """Returns the new carry and the output `[..., H]` for `[..., F]`; a pure function."""
        products = self.declare(params)
        arrays = multiply(products, carry, inputs, inputs.ndim - self.num_feature_axes)
        return self.finish(params, carry, split_gates(products, arrays))

    @nn.nowrap
    def declare(self, params: Params) -> Products:
        """Returns the declared products, checked."""
        products = self.products(self.cast(params))
        check_products(products, self.carry_type._fields, type(self).__name__)
        return products

    @nn.nowrap
    def finish(self, params: Params, carry: Carry, products: Products) -> tuple[Carry, Array]:
        """Returns what `pointwise` makes of the products' values, gates split."""
        if unknown := {*self.pointwise_params} - {*params._fields}:
            raise ValueError(
                f"{type(self).__name__}.pointwise_params must be a tuple of names of parameters, "
                f"{unknown.pop()!r} is none of {', '.join(params._fields)}"
            )
        undeclared = {
            name: Undeclared(type(self).__name__, name)
            for name, param in params._asdict().items()
            if name not in self.pointwise_params and param is not None
        }
        results = self.pointwise(params._replace(**undeclared), carry, products)
        check_results(self, type(self).pointwise, carry, results)
        return results

    @nn.nowrap
    def check(self) -> None:
        """Raises a ValueError if a field has a value that makes no sense."""
        check_positive(self, "features")

    @property
    def is_factored(self) -> bool:
        """Whether a call is nothing but `products` and then `pointwise`."""
        return (type(self).step, type(self).__call__) == (Cell.step, Cell.__call__)

    def __call__(self, carry: Carry, inputs: Array) -> tuple[Carry, Array]:
        """Returns the new carry and the output; raises a ValueError for what does not fit."""
        check_bound(self)
        params = self.checked_parameters(carry, inputs)
        results = self.step(params, carry, inputs)
        check_results(self, type(self).step, carry, results)
        new_carry, outputs = results
        return new_carry, outputs.astype(self.output_dtype(params))

    @nn.nowrap
    def output_dtype(self, params: Params) -> DTypeLike:
        return first_floating(params) if self.dtype is None else self.dtype

    def checked_parameters(self, carry: Carry, inputs: Array) -> Params:
        """Returns the parameters; raises a ValueError for what does not fit.

        Args:
          carry: for the shapes.
          inputs: `[..., F]`, for the shapes.
        """
        self.check()
        check_carry(self, carry, inputs)
        try:
            return self.parameters(inputs.shape[-1])
        except flax.errors.ScopeParamShapeError as error:
            raise ValueError(
                f"{type(self).__name__}: inputs of shape {inputs.shape} do not go with the "
                f"parameters given: {str(error).split(' (https')[0]}"
            ) from error

    @nn.nowrap
    def cast(self, params: P) -> P:
        """Returns parameters in the dtype of products."""
        return cast(params, self.dtype)

    def weight(self, name: str, init: Initializer, *shape: int) -> Array:
        """Declares a parameter."""
        return self.param(name, init, shape, self.param_dtype)

    @nn.nowrap
    def initialize_carry(self, rng: PRNGKeyArray, input_shape: tuple[int, ...]) -> Carry:
        """Returns zeros, as TF1's zero_state; `input_shape` is `[..., F]`."""
        del rng
        states = (self.zeros(input_shape, self.features) for _ in self.carry_type._fields)
        return self.carry_type(*states)

    @nn.nowrap
    def zeros(self, input_shape: tuple[int, ...], size: int) -> Array:
        """Returns a zero state `[..., size]` for inputs of shape `[..., F]`."""
        self.check()
        return jnp.zeros((*input_shape[:-1], size), self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        return 1


def cast(params: P, dtype: DTypeLike | None) -> P:
    """Returns the parameters in the dtype of computation; None: as they are stored."""
    return params if dtype is None else jax.tree.map(lambda p: p.astype(dtype), params)


def check_positive(cell: nn.RNNCellBase, *names: str) -> None:
    """Raises a ValueError if one of these fields of a cell is set, but not above 0."""
    for name in names:
        value = getattr(cell, name)
        if value is not None and not value > 0:
            raise ValueError(f"{type(cell).__name__}: {name} must be above 0, got {value}")


def check_carry(cell: Cell, carry: Carry, inputs: Array) -> None:
    """Raises a ValueError if the carry is another cell's, or does not go with the inputs."""
    name = type(cell).__name__
    if not isinstance(carry, cell.carry_type):
        raise ValueError(
            f"{name}: carry must be a {cell.carry_type.__name__}, got a {type(carry).__name__}; "
            f"{name}.initialize_carry makes one"
        )
    if inputs.ndim < cell.num_feature_axes:
        raise ValueError(
            f"{name}: inputs must have {cell.num_feature_axes} feature axes or more, got shape "
            f"{inputs.shape}"
        )
    expected = jax.eval_shape(lambda: cell.initialize_carry(jax.random.key(0), inputs.shape))
    for field, leaf, wanted in zip(cell.carry_type._fields, carry, expected, strict=True):
        if jnp.shape(leaf) != wanted.shape:
            raise ValueError(
                f"{name}: carry.{field} must have shape {wanted.shape} for inputs of shape "
                f"{inputs.shape}, got {jnp.shape(leaf)}"
            )
