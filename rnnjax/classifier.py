"""The model: stacked cells over time, and a readout of the last output."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.cells import CELLS, DropoutCell
from rnnjax.config import ModelConfig
from rnnjax.errors import ConfigError, did_you_mean
from rnnjax.stack import Stack
from rnnjax.unroll import unroll

Params = Mapping[str, Any]  # a tree of arrays, as flax makes it


class Classified(NamedTuple):
    logits: jax.Array  # [B, K]
    last_hidden: jax.Array  # [B, H], the output that the readout saw


class Classifier(nn.Module):
    """Classifies sequences by the last output of stacked cells.

    Attributes:
      cell: name of a registered cell.
      cell_options: further fields of the cell.
      hidden_size: units H of each layer.
      num_layers: cells in the stack.
      num_classes: classes K.
      input_keep_prob: of each layer's `DropoutCell`, in training; so are the next two.
      output_keep_prob: see there.
      state_keep_prob: see there.
      readout_stddev: of the readout's truncated normal weights.
      readout_bias: initial bias of the readout.
    """

    cell: str
    cell_options: Any
    hidden_size: int
    num_layers: int
    num_classes: int
    input_keep_prob: float
    output_keep_prob: float
    state_keep_prob: float
    readout_stddev: float
    readout_bias: float

    @nn.compact
    def __call__(
        self, inputs: jax.Array, lengths: jax.Array | None = None, *, train: bool = False
    ) -> Classified:
        """Returns the logits of sequences `[B, T, F]`; `train` switches dropout on."""
        stack = Stack([self._layer(i, train) for i in range(self.num_layers)])
        last_hidden = unroll(stack, inputs, lengths=lengths, return_outputs="last").outputs
        readout = nn.Dense(
            self.num_classes,
            kernel_init=nn.initializers.truncated_normal(self.readout_stddev),
            bias_init=nn.initializers.constant(self.readout_bias),
            name="readout",
        )
        return Classified(readout(last_hidden), last_hidden)

    def _layer(self, index: int, train: bool) -> nn.RNNCellBase:
        fields = {"features": self.hidden_size, "name": f"layer_{index}", **self.cell_options}
        return DropoutCell(
            CELLS[self.cell](**fields),
            input_keep_prob=self.input_keep_prob,
            output_keep_prob=self.output_keep_prob,
            state_keep_prob=self.state_keep_prob,
            deterministic=not train,
        )


def classify(
    model: Classifier,
    params: Params,
    inputs: jax.Array,
    *,
    train: bool = False,
    dropout_key: jax.Array | None = None,
) -> Classified:
    """Applies the model to sequences `[B, T, F]`; the key is for dropout in training."""
    rngs = None if dropout_key is None else {"dropout": dropout_key}
    return typing.cast(Classified, model.apply({"params": params}, inputs, train=train, rngs=rngs))


def build(config: ModelConfig, num_classes: int) -> Classifier:
    """Returns the classifier that the settings describe.

    Raises:
      ConfigError: for an unknown cell, an option that the cell does not have, or a wrong value.
    """
    if config.cell not in CELLS:
        raise ConfigError(
            f"config.model.cell={config.cell!r} is unknown; {did_you_mean(config.cell, CELLS)}"
        )
    options = dict(config.cell_options)
    known = _settable_options(CELLS[config.cell])
    for name, value in options.items():
        if name not in known:
            raise ConfigError(
                f"config.model.cell_options: {config.cell!r} has no option {name!r}; "
                f"{did_you_mean(name, known)}"
            )
        if type(value) not in known[name]:
            raise ConfigError(f"config.model.cell_options: {name!r} cannot be {value!r}")
    model = Classifier(
        cell=config.cell,
        cell_options=options,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        num_classes=num_classes,
        input_keep_prob=config.input_keep_prob,
        output_keep_prob=config.output_keep_prob,
        state_keep_prob=config.state_keep_prob,
        readout_stddev=config.readout_stddev,
        readout_bias=config.readout_bias,
    )
    try:
        jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 1, 1))))
    except ValueError as error:  # a cell has refused its options
        raise ConfigError(f"config.model: {error}") from error
    return model


# The types of cell fields that a config can hold, and of their values.
_SETTABLE: dict[Any, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    int | None: (int, type(None)),
    float: (int, float),
    float | None: (int, float, type(None)),
}


def _settable_options(cell: type[nn.RNNCellBase]) -> dict[str, tuple[type, ...]]:
    """Returns {name: types of its value} of a cell's own numbers and switches."""
    hints = typing.get_type_hints(cell)
    return {
        field.name: _SETTABLE[hints[field.name]]
        for field in dataclasses.fields(cell)
        if hints[field.name] in _SETTABLE and field.name != "features"
    }
