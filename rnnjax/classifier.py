"""The model: stacked cells over time, and a readout of the last output or of all."""

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int, PRNGKeyArray

from rnnjax import pooling
from rnnjax.cell_options import checked_options
from rnnjax.cell_source import cell_class
from rnnjax.cells import DropoutCell
from rnnjax.cells.conv_lstm import fold
from rnnjax.cells.wrappers.noise import VARIATIONAL
from rnnjax.config import ModelConfig
from rnnjax.errors import ConfigError, say_where
from rnnjax.recurrent import Bidirectional, Stack, StackedBidirectional, unroll
from rnnjax.recurrent.implementations import Implementation

Params = Mapping[str, Any]  # a tree of arrays, as flax makes it
BACKWARDS = "_back"  # ends the names of the layers that read from the last step to the first


class Classified(NamedTuple):
    logits: Float32[Array, "B K"]
    last_hidden: Float32[Array, "B H"]  # the output that the readout saw, or what it pooled


class Classifier(nn.Module):
    """Classifies sequences by what stacked cells put out, at last or at all steps.

    A convolutional cell sees the F features of a step as an image with one channel, 28 of them as
    28, 7 x 4 or 7 x 2 x 2, and has so many channels that all its positions together come nearest to
    H units from below.

    Attributes:
      cell: name of a registered cell, or where one of the user's own is.
      cell_options: further fields of the cell.
      hidden_size: units H of each layer.
      num_layers: cells in the stack.
      bidirectional: whether each layer has a second cell that goes backwards.
      num_classes: classes K.
      input_keep_prob: probability that an input of a layer is not dropped, in training.
      output_keep_prob: the same for an output of a layer.
      state_keep_prob: the same for a hidden state on its way to the next step.
      variational_dropout: the same masks at each step of a sequence.
      compute_dtype: of products and outputs.
      remat: compute most steps again for the gradient, which needs less memory and more time.
      implementation: what runs the cells over time in training, as `unroll` describes it.
      readout: the outputs that it reads: the last, or a `Pooling` of all.
      readout_stddev: of the readout's truncated normal weights.
      readout_bias: initial bias of the readout.
    """

    cell: str
    cell_options: Mapping[str, Any]
    hidden_size: int
    num_layers: int
    bidirectional: bool
    num_classes: int
    input_keep_prob: float
    output_keep_prob: float
    state_keep_prob: float
    variational_dropout: bool
    compute_dtype: str
    remat: bool
    implementation: Implementation
    readout: Literal["last"] | pooling.Kind
    readout_stddev: float
    readout_bias: float

    @nn.compact
    def __call__(
        self,
        inputs: Float[Array, "B T F"],
        lengths: Int[Array, " B"] | None = None,
        *,
        train: bool = False,
    ) -> Classified:
        """Returns the logits, `[B, K]`, of sequences, and their last hidden states, `[B, H]`.

        Args:
          inputs: `[B, T, F]`.
          lengths: `[B]`, the steps of each sequence that count; None: all.
          train: whether dropout is on.
        """
        cell = cell_class(self.cell)(1, parent=None)
        space = fold(inputs.shape[-1], cell.num_feature_axes - 1)
        if space:
            inputs = inputs.reshape(*inputs.shape[:-1], *space, 1)
        layers = [self._layer(f"layer_{n}", space, train) for n in range(self.num_layers)]
        options: Any = {
            "lengths": lengths,
            "return_outputs": "last" if self.readout == "last" else "all",
            "remat": self.remat,
            "implementation": self.implementation if train else "auto",
        }
        if self.bidirectional:
            back = [
                self._layer(f"layer_{n}{BACKWARDS}", space, train) for n in range(self.num_layers)
            ]
            pairs = [Bidirectional(*pair) for pair in zip(layers, back, strict=True)]
            outputs = StackedBidirectional(pairs)(inputs, **options).outputs
        else:
            outputs = unroll(Stack(layers), inputs, **options).outputs
        num_axes = 1 if self.readout == "last" else 2  # [B], [B, T]
        outputs = outputs.reshape(*outputs.shape[:num_axes], -1).astype(jnp.float32)
        if self.readout != "last":
            outputs = pooling.Pooling(self.readout, name="pooling")(outputs, lengths)
        readout = nn.Dense(
            self.num_classes,
            kernel_init=nn.initializers.truncated_normal(self.readout_stddev),
            bias_init=nn.initializers.constant(self.readout_bias),
            name="readout",
        )
        return Classified(readout(outputs), outputs)

    def _layer(self, name: str, space: tuple[int, ...], train: bool) -> nn.RNNCellBase:
        features = max(1, self.hidden_size // math.prod(space))
        fields: dict[str, Any] = {"dtype": self.compute_dtype, "name": name}
        if space:  # the usual kernel of 3 positions, where there are so many
            fields["kernel_shape"] = tuple(min(3, extent) for extent in space)
        return DropoutCell(
            cell_class(self.cell)(features, **{**fields, **self.cell_options}),
            input_keep_prob=self.input_keep_prob,
            output_keep_prob=self.output_keep_prob,
            state_keep_prob=self.state_keep_prob,
            variational=self.variational_dropout,
            deterministic=not train,
        )


def classify(
    model: Classifier,
    params: Params,
    inputs: Float[Array, "B T F"],
    *,
    train: bool = False,
    dropout_key: PRNGKeyArray | None = None,
) -> Classified:
    """Applies a model to sequences.

    Args:
      model: the classifier.
      params: its parameters.
      inputs: `[B, T, F]`.
      train: whether dropout is on.
      dropout_key: for dropout in training.

    Returns:
      The logits, `[B, K]`, and the last hidden states, `[B, H]`, both float32.
    """
    rngs = None if dropout_key is None else _rngs(dropout_key)
    return typing.cast(Classified, model.apply({"params": params}, inputs, train=train, rngs=rngs))


def _rngs(key: PRNGKeyArray) -> dict[str, PRNGKeyArray]:
    """Returns the random streams of dropout."""
    return {"dropout": key, VARIATIONAL: jax.random.fold_in(key, 1)}


def _trace_training(model: Classifier, num_features: int, batch_size: int) -> None:
    """Lets cells refuse what they cannot do, in training, where dropout narrows the choice."""

    def init(inputs: Array) -> Mapping[str, Params]:
        key = jax.random.key(0)
        return model.init({"params": key, **_rngs(key)}, inputs, train=True)

    def run(variables: Mapping[str, Params], inputs: Array) -> Classified:
        key = jax.random.key(0)
        return classify(model, variables["params"], inputs, train=True, dropout_key=key)

    inputs = jax.ShapeDtypeStruct((batch_size, 1, num_features), jnp.float32)
    variables = jax.eval_shape(init, inputs)
    if model.implementation == "fused":  # whose demands on the batch `init` does not have
        jax.eval_shape(run, variables, inputs)


def build(
    config: ModelConfig, num_classes: int, num_features: int, batch_size: int = 1
) -> Classifier:
    """Returns the classifier that the settings describe. Nothing is compiled.

    Args:
      config: the settings.
      num_classes: classes K.
      num_features: features F of a step.
      batch_size: sequences of a device in training.

    Raises:
      ConfigError: for an unknown cell, an option that the cell does not have, or a wrong value.
    """
    cell: Any = cell_class(config.cell)
    options = checked_options(config, cell)
    # All other settings are fields of the classifier by the same name.
    names = {field.name for field in dataclasses.fields(config)} - {"cell_options", "cell_sha256"}
    fields = {name: getattr(config, name) for name in names}
    model = Classifier(**fields, cell_options=options, num_classes=num_classes)
    try:
        _trace_training(model, num_features, batch_size)
    except Exception as error:
        if not cell.__module__.startswith("rnnjax."):
            raise ConfigError(say_where(cell.__name__, error)) from error
        if isinstance(error, ValueError | TypeError | OverflowError):  # it has refused its options
            raise ConfigError(f"config.model: {error}") from error
        raise
    return model
