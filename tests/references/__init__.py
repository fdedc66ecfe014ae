"""Independent maths of every registered cell; how it is written: `common`."""

from tests.references import (
    basic,
    cfn,
    conv_lstm,
    coupled,
    glstm,
    grid_lstm,
    gru,
    independent,
    layer_norm,
    lstm,
    mgu,
    min_rnn,
    minimal_rnn,
    nas,
    phased_lstm,
    qrnn,
    slstm,
    sru,
    ugrnn,
    weight_norm,
)
from tests.references.common import Case, Reference

_FAMILIES = (
    basic,
    gru,
    lstm,
    coupled,
    layer_norm,
    weight_norm,
    mgu,
    ugrnn,
    nas,
    minimal_rnn,
    cfn,
    phased_lstm,
    sru,
    qrnn,
    independent,
    glstm,
    conv_lstm,
    grid_lstm,
    min_rnn,
    slstm,
)

REFERENCES: dict[str, Reference] = {
    name: reference for family in _FAMILIES for name, reference in family.REFERENCES.items()
}
CASES: list[Case] = [case for family in _FAMILIES for case in family.CASES]
