"""Our cells against torch's layers, with the same weights."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch as pytorch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rnnjax.cells import BasicRNNCell, DropoutCell, GRUCell, HighwayCell, LSTMCell, ResidualCell
from rnnjax.interop import torch
from rnnjax.recurrent.bidirectional import Bidirectional, StackedBidirectional
from rnnjax.recurrent.stack import Stack
from tests.cases import STEPS, UNITS, assert_close, assert_equal
from tests.interop.peers import FEATURES, LENGTHS, TOLERANCE, Result, draw, draw_inputs, draw_probe
from tests.interop.peers import run as run_ours

KINDS: dict[str, tuple[Any, dict[str, Any], Any, dict[str, Any]]] = {
    "tanh": (BasicRNNCell, {}, pytorch.nn.RNN, {}),
    "relu": (BasicRNNCell, {"activation": nn.relu}, pytorch.nn.RNN, {"nonlinearity": "relu"}),
    "gru": (GRUCell, {"reset_after": True}, pytorch.nn.GRU, {}),
    "lstm": (LSTMCell, {"forget_bias": 0}, pytorch.nn.LSTM, {}),
    "projection": (
        LSTMCell,
        {"forget_bias": 0, "projection_size": 2},
        pytorch.nn.LSTM,
        {"proj_size": 2},
    ),
}


def make(kind: str, num_layers: int, bidirectional: bool, bias: bool = True) -> tuple[Any, Any]:
    """Returns a model of ours and the torch module like it, with random weights."""
    cell_type, fields, module_type, options = KINDS[kind]

    def cell() -> Any:
        return cell_type(UNITS, **fields)

    if not bidirectional:
        layers = [cell() for _ in range(num_layers)]
        model = Stack(layers) if num_layers > 1 else layers[0]
    else:
        pairs = [Bidirectional(cell(), cell()) for _ in range(num_layers)]
        model = StackedBidirectional(pairs) if num_layers > 1 else pairs[0]
    module = module_type(
        FEATURES,
        UNITS,
        num_layers=num_layers,
        bidirectional=bidirectional,
        bias=bias,
        batch_first=True,
        **options,
    )
    with pytorch.no_grad():
        for n, weight in enumerate(module.parameters()):
            weight.copy_(pytorch.from_numpy(draw(*weight.shape, seed=10 + n)))
    return model, module


def run_torch(module: Any, lengths: np.ndarray | None) -> Result:
    inputs = pytorch.from_numpy(draw_inputs()).requires_grad_()
    if lengths is None:
        outputs, last = module(inputs)
    else:
        packed = pack_padded_sequence(inputs, lengths.tolist(), True, enforce_sorted=False)
        packed_outputs, last = module(packed)
        outputs, _ = pad_packed_sequence(packed_outputs, batch_first=True, total_length=STEPS)
    probe = pytorch.from_numpy(draw_probe(outputs.shape))
    (outputs * probe).sum().backward()
    last = last if isinstance(last, tuple) else (last,)
    carries = list(zip(*(leaf.detach().numpy() for leaf in last), strict=True))
    gradients = {name: weight.grad.numpy() for name, weight in module.named_parameters()}
    gradient: Any = inputs.grad
    return Result(outputs.detach().numpy(), carries, gradient.numpy(), gradients)


# The warning only says that torch runs a slower implementation, which is the one to compare.
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("num_layers", "bidirectional", "bias", "lengths"),
    [
        (1, False, True, None),
        (2, True, True, LENGTHS),
        (3, False, False, LENGTHS),
    ],
    ids=["one", "two_both_ways_packed", "three_without_bias_packed"],
)
def test_equals_torch(
    kind: str, num_layers: int, bidirectional: bool, bias: bool, lengths: np.ndarray | None
) -> None:
    model, module = make(kind, num_layers, bidirectional, bias)
    arrays = jax.tree.map(jnp.asarray, {n: w.numpy() for n, w in module.state_dict().items()})
    actual = run_ours(model, lambda arrays: torch.load(model, arrays), arrays, lengths)
    assert_close(actual, run_torch(module, lengths), TOLERANCE)

    params = torch.load(model, module.state_dict(), prefix="")
    saved = torch.save(model, params, prefix="encoder.", bias=bias)
    assert_equal(torch.load(model, saved, prefix="encoder."), params)
    tensors = {n.removeprefix("encoder."): pytorch.from_numpy(a) for n, a in saved.items()}
    before = run_torch(module, lengths).outputs
    module.load_state_dict(tensors)
    assert_close(run_torch(module, lengths).outputs, before, TOLERANCE)


def test_weights_that_require_gradients_are_copied() -> None:
    model, module = make("gru", 1, False)
    params = torch.load(model, dict(module.named_parameters()))
    before = jax.tree.map(np.array, params)
    with pytorch.no_grad():
        for weight in module.parameters():
            weight.zero_()
    assert_equal(params, before)


def test_params_have_the_dtype_of_the_model() -> None:
    _, module = make("gru", 1, False)
    cell = GRUCell(UNITS, reset_after=True, param_dtype="bfloat16")
    params = torch.load(cell, module.double().state_dict())
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}


@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])
def test_bfloat16_loads(kind: str) -> None:
    model, module = make(kind, 1, False)
    state = module.bfloat16().state_dict()
    expected = torch.load(model, {name: array.float() for name, array in state.items()})
    assert_equal(torch.load(model, state), expected)


@pytest.mark.parametrize("kind", ["tanh", "gru", "lstm"])
def test_torchs_cells_load(kind: str) -> None:
    model, module = make(kind, 1, False)
    cells = {"tanh": pytorch.nn.RNNCell, "gru": pytorch.nn.GRUCell, "lstm": pytorch.nn.LSTMCell}
    cell = cells[kind](module.input_size, UNITS)
    cell.load_state_dict({name[:-3]: array for name, array in module.state_dict().items()})
    assert_equal(torch.load(model, cell.state_dict()), torch.load(model, module.state_dict()))


def test_a_prefix_that_nothing_has_is_named() -> None:
    model, module = make("gru", 1, False)
    state = {f"encoder.{name}": array for name, array in module.state_dict().items()}
    state["head.weight"] = pytorch.zeros(3)
    with pytest.raises(ValueError, match=r"begin with 'encoder\.rnn\.'; there are .* 'encoder\.'$"):
        torch.load(model, state, prefix="encoder.rnn.")
    with pytest.raises(ValueError, match="begin with ''; there are such with none"):
        torch.load(model, {"head.weight": state["head.weight"]})


def lstm(**fields: Any) -> Any:
    all_fields: dict[str, Any] = {"features": UNITS, "forget_bias": 0} | fields
    return LSTMCell(**all_fields)


def test_wrappers_have_no_name_in_torch() -> None:
    model, module = make("lstm", 2, False)
    params = torch.load(model, module.state_dict())
    wrapped = Stack([DropoutCell(lstm()), ResidualCell(DropoutCell(lstm()))])
    actual = torch.load(wrapped, module.state_dict())
    assert_equal(actual["cells_0"]["inner"], params["cells_0"])
    assert_equal(actual["cells_1"]["inner"]["inner"], params["cells_1"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weight_hh_l1": None},
            r"weight_hh_l1 of shape \(16, 4\) is missing; the arrays are: .*_l0",
        ),
        ({"bias_hh_l0": None}, r"bias_hh_l0 of shape \(16,\) is missing"),
        ({"weight_hr_l0": (2, 4)}, r"weight_hr_l0 of shape \(2, 4\) is surplus"),
        ({"weight_hh_l0": (16, 5)}, r"weight_hh_l0 must have shape \(16, 4\), got \(16, 5\)"),
        ({"weight_ih_l0": (12, 3)}, r"weight_ih_l0 must have shape \(16, 3\), got \(12, 3\)"),
        ({"weight_ih_l0": (16,)}, r"weight_ih_l0 must have shape .*, got \(16,\)"),
        ({"weight_ih_l1": (16, 3)}, r"weight_ih_l1 must have shape \(16, 4\), got \(16, 3\)"),
    ],
)
def test_mismatch_names_the_array_and_both_shapes(change: dict[str, Any], message: str) -> None:
    model, module = make("lstm", 2, False)
    arrays: dict[str, Any] = dict(module.state_dict())
    for name, shape in change.items():
        if shape is None:
            del arrays[name]
        else:
            arrays[name] = np.ones(shape)
    with pytest.raises(ValueError, match=message):
        torch.load(model, arrays)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lstm(forget_bias=1.0), "LSTMCell: forget_bias must be 0 for weights of torch, got 1.0"),
        (lstm(use_peepholes=True), "use_peepholes must be False"),
        (lstm(cell_clip=1.0), "cell_clip must be None"),
        (lstm(activation=nn.relu), "activation must be tanh"),
        (BasicRNNCell(UNITS, activation=nn.gelu), "activation must be tanh or relu"),
        (GRUCell(UNITS), "GRUCell: reset_after must be True for weights of torch, got False"),
        (nn.GRUCell(UNITS), "torch has no GRUCell, only: BasicRNNCell, GRUCell, LSTMCell"),
        (Stack([lstm(), BasicRNNCell(UNITS)]), "alike, got LSTMCell and BasicRNNCell"),
        (Stack([lstm(), lstm(features=5)]), "features must be 4 .* as in the first layer, got 5"),
        (Bidirectional(Stack([lstm()]), Stack([lstm()])), "no layer at forward/cells_0"),
        (HighwayCell(lstm(features=3)), "carry_.* is a wrapper's own"),
    ],
)
def test_what_torch_does_not_have_is_an_error(model: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        torch.load(model, {"weight_ih_l0": np.ones((16, 3))})


def test_saving_checks_the_params() -> None:
    model, module = make("lstm", 1, False)
    params = torch.load(model, module.state_dict())
    with pytest.raises(ValueError, match="bias must be zero to be saved without biases"):
        torch.save(model, params, bias=False)
    with pytest.raises(ValueError, match=r"bias must have shape \(16,\), got \(12,\)"):
        torch.save(model, params | {"bias": np.zeros(12)})
