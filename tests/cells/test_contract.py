"""What every cell promises: names of its parameters, carries, dtypes, and errors that help."""

import json
import math
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.cells import (
    CELLS,
    BasicRNNCarry,
    LSTMCarry,
    LSTMCell,
    PhasedLSTMCell,
    forget_gate_bias,
)
from rnnjax.cells import __main__ as table
from rnnjax.recurrent.unroll import unroll
from tests.cases import (
    BATCH,
    INPUT_SHAPES,
    STEPS,
    build,
    example,
    jit_faithful,
    jit_unoptimized,
    label,
    shapes,
)
from tests.references import CASES
from tests.references.common import Case

GOLDEN = Path(__file__).parent / "golden" / "parameters.json"

each_case = pytest.mark.parametrize("case", CASES, ids=label)


def test_parameters_keep_their_names_and_shapes() -> None:
    """Stored weights depend on them. To take on a change: `python -m tests.cells.test_contract`."""
    assert json.loads(GOLDEN.read_text()) == parameter_shapes()


def parameter_shapes() -> dict[str, dict[str, list[int]]]:
    """Returns {case: {parameter: shape}}."""
    return {
        label(case): {name: list(shape) for name, shape in sorted(shapes(case)[0].items())}
        for case in CASES
    }


STARTS_AT_ONE = {("gru", "gates_bias"), ("minimal_rnn", "bias"), ("cfn", "bias")}


@pytest.mark.parametrize(
    "case",
    [
        Case("rnn", {}),
        Case("gru", {"reset_after": True}),
        Case("lstm", {"use_peepholes": True, "projection_size": 3}),
        Case("mgu", {"reset_after": True}),
        Case("ugrnn", {}),
        Case("intersection_rnn", {}),
        Case("nas", {"use_bias": True, "projection_size": 3}),
        Case("minimal_rnn", {}),
        Case("cfn", {}),
    ],
    ids=label,
)
def test_initial_values(case: Case) -> None:
    units, features = 128, 200
    wide = {"projection_size": 96} if "projection_size" in case.options else {}
    cell = build(case, features=units, **wide)
    carry = cell.initialize_carry(jax.random.key(0), (BATCH, features))
    variables = jit_unoptimized(cell.init)(jax.random.key(1), carry, jnp.ones((BATCH, features)))
    for leaf in carry:
        assert leaf.shape in {(BATCH, units), (BATCH, wide.get("projection_size"))}
        np.testing.assert_array_equal(leaf, 0)
    for name, leaf in variables["params"].items():
        if name.endswith("bias"):
            np.testing.assert_array_equal(leaf, (case.name, name) in STARTS_AT_ONE)
            continue
        # Glorot uniform over the whole kernel; TF1 counts a diagonal's length as both its fans.
        fans = 2 * units if name == "peepholes" else sum(leaf.shape)
        limit = math.sqrt(6 / fans)
        assert np.abs(leaf).max() <= limit
        assert np.std(leaf) == pytest.approx(limit / math.sqrt(3), rel=0.1)


@each_case
def test_bfloat16_keeps_the_carry_and_the_parameters(case: Case) -> None:
    cell = build(case, dtype=jnp.bfloat16)
    variables, carry, inputs = example(cell, "float32")
    initial = jax.eval_shape(cell.init, jax.random.key(0), carry, inputs[:, 0])
    assert {leaf.dtype.name for leaf in jax.tree.leaves(initial)} == {"float32"}
    for dtype in ("float32", "bfloat16"):
        typed = jax.tree.map(lambda leaf, dtype=dtype: leaf.astype(dtype), carry)
        new_carry, y = jax.eval_shape(cell.apply, variables, typed, inputs[:, 0])
        assert y.dtype == jnp.bfloat16
        assert {leaf.dtype.name for leaf in new_carry} == {dtype}
    # The state that adds up over time is not rounded to bfloat16 on its way.
    memory = jit_faithful(cell.apply)(variables, carry, inputs[:, 0])[0][0]
    assert (memory != memory.astype("bfloat16").astype("float32")).any()


@pytest.mark.parametrize("name", CELLS)
def test_carry_is_a_named_tuple_of_its_own(name: str) -> None:
    cell = build(Case(name, {}))
    variables, carry, inputs = example(cell, "float32")
    assert carry._fields
    assert isinstance(carry, tuple)
    assert type(carry).__name__ == type(cell).__name__.replace("Cell", "Carry")
    other = BasicRNNCarry(carry[0]) if name != "rnn" else LSTMCarry(carry[0], carry[0])
    for wrong in (other, tuple(carry), {}):
        with pytest.raises(ValueError, match=f"must be a {type(carry).__name__}, got a"):
            cell.apply(variables, wrong, inputs[:, 0])


@pytest.mark.parametrize("name", CELLS)
def test_what_does_not_fit_is_named(name: str) -> None:
    cell = build(Case(name, {}))
    variables, carry, inputs = example(cell, "float32")
    x = inputs[:, 0]
    field, leaf = next(iter(carry._asdict().items()))
    with pytest.raises(ValueError, match=rf"carry.{field} must have shape .*, got"):
        cell.apply(variables, carry._replace(**{field: leaf[:, :-1]}), x)
    with pytest.raises(ValueError, match=rf"must have shape .* for inputs of shape \({BATCH + 1},"):
        cell.apply(variables, carry, jnp.concatenate([x, x[:1]]))
    wide = jnp.concatenate([x, x], axis=-1)
    own = cell.initialize_carry(jax.random.key(0), wide.shape)
    with pytest.raises(ValueError, match="inputs of shape"):
        cell.apply(variables, own, wide)
    if cell.num_feature_axes > 1:
        with pytest.raises(ValueError, match="inputs must have"):
            cell.apply(variables, carry, x[0, 0])


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *((name, "features") for name in CELLS),
        ("lstm", "projection_size"),
        ("lstm", "cell_clip"),
        ("lstm", "projection_clip"),
        ("weight_norm_lstm", "cell_clip"),
        ("layer_norm_lstm", "epsilon"),
        ("layer_norm_gru", "epsilon"),
        ("slstm", "num_heads"),
        ("nas", "projection_size"),
        ("phased_lstm", "ratio_on"),
        ("phased_lstm", "period_min"),
        ("qrnn", "window"),
        ("glstm", "num_groups"),
        ("glstm", "projection_size"),
        ("grid_lstm", "feature_size"),
        ("grid_lstm", "frequency_skip"),
    ],
)
def test_sizes_and_bounds_must_be_positive(name: str, option: str) -> None:
    for value in (0, -1):
        cell = build(Case(name, {option: value}))
        inputs = jnp.ones((BATCH, STEPS, *INPUT_SHAPES[cell.num_feature_axes]))
        with pytest.raises(ValueError, match=f"{option} must be above 0, got {value}"):
            nn.init(unroll, cell)(jax.random.key(0), inputs)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("slstm", {"num_heads": 3}, "num_heads must divide features=4, got 3"),
        ("slstm", {"forget_gate": "relu"}, "must be 'exponential' or 'sigmoid', got 'relu'"),
        ("phased_lstm", {"leak": 2.0}, r"leak must be in \[0, 1\], got 2.0"),
        ("phased_lstm", {"ratio_on": 1.5}, "ratio_on must be at most 1, got 1.5"),
        ("phased_lstm", {"period_max": 0.5}, "at least period_min=1.0, got 0.5"),
        ("qrnn", {"pooling": "fio"}, "pooling must be 'f', 'fo' or 'ifo', got 'fio'"),
        ("glstm", {"num_groups": 4}, "divide the input features, got num_groups=4 and .*=6"),
        ("glstm", {"num_groups": 3}, "divide features, got num_groups=3 and features=4"),
        (
            "glstm",
            {"num_groups": 2, "projection_size": 3},
            "divide projection_size, got num_groups=2 and projection_size=3",
        ),
        ("grid_lstm", {"feature_size": 4}, "feature_size=4 .* evenly, got 6"),
        ("grid_lstm", {"feature_size": 7}, "feature_size=7 .* evenly, got 6"),
        ("conv_lstm_2d", {"kernel_shape": (3,)}, r"kernel_shape must be 2 sizes .* got \(3,\)"),
        ("conv_lstm_2d", {"kernel_shape": (3, 0)}, r"kernel_shape must be 2 sizes .* \(3, 0\)"),
        ("conv_lstm_2d", {"kernel_shape": (3, 5)}, r"\(3, 5\) for an image of shape \(5, 4\)"),
    ],
)
def test_sizes_must_fit(name: str, options: dict[str, Any], message: str) -> None:
    cell = build(Case(name, options))
    inputs = jnp.ones((BATCH, STEPS, *INPUT_SHAPES[cell.num_feature_axes]))
    with pytest.raises(ValueError, match=message):
        nn.init(unroll, cell)(jax.random.key(0), inputs)


def test_phased_lstm_starts_with_periods_of_all_lengths() -> None:
    cell = build(Case("phased_lstm", {"period_min": 2.0, "period_max": 50.0}), features=1000)
    carry = cell.initialize_carry(jax.random.key(0), (BATCH, 5))
    params = jit_unoptimized(cell.init)(jax.random.key(0), carry, jnp.ones((BATCH, 5)))["params"]
    logs = np.log(params["period"] / 2) / np.log(25)
    for uniform in (logs, params["phase"] / params["period"]):
        np.testing.assert_allclose(np.quantile(uniform, [0, 0.5, 1]), [0, 0.5, 1], atol=0.05)
    np.testing.assert_array_equal(params["ratio_on"], np.float32(0.1))


def test_phased_lstm_counts_exactly_in_bfloat16() -> None:
    cell = build(Case("phased_lstm", {}), param_dtype=jnp.bfloat16)
    inputs = jnp.ones((1, 600, 5), jnp.bfloat16)
    variables = nn.init(unroll, cell)(jax.random.key(0), inputs[:, :1])
    np.testing.assert_array_equal(nn.apply(unroll, cell)(variables, inputs).carry.time, 600)


def test_a_gate_keeps_its_time_in_bfloat16() -> None:
    """What is in no product is not rounded: at step 1,000 the same units are open."""
    variables, carry, inputs = example(PhasedLSTMCell(400), "float32")
    late = carry._replace(time=jnp.full_like(carry.time, 1_000))
    opened = []
    for dtype in (jnp.float32, jnp.bfloat16):
        new_carry, _ = PhasedLSTMCell(400, leak=0.0, dtype=dtype).apply(
            variables, late, inputs[:, 0]
        )
        opened.append(np.asarray(new_carry.cell != carry.cell))
    assert 0.1 < opened[0].mean() < 0.9
    # One in a thousand may be all but shut, and round to shut.
    assert np.mean(opened[0] != opened[1]) < 0.01


def test_forget_gate_bias() -> None:
    cell = LSTMCell(3, forget_bias=0.0, bias_init=forget_gate_bias(1.0))
    carry = cell.initialize_carry(jax.random.key(0), (1, 2))
    bias = cell.init(jax.random.key(0), carry, jnp.ones((1, 2)))["params"]["bias"]
    np.testing.assert_array_equal(bias, np.repeat([0, 0, 1, 0], 3))


def test_the_table_of_cells_names_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    table.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:]] == list(CELLS)
    assert "291,840" in next(line for line in lines if line.startswith("lstm "))


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(parameter_shapes(), indent=2) + "\n")
