"""Independent maths of every registered cell; `common` says how it is written."""

from tests.references import (
    basic,
    cfn,
    conv_lstm,
    glstm,
    grid_lstm,
    gru,
    lstm,
    mgu,
    minimal_rnn,
    nas,
    ugrnn,
)
from tests.references.common import Case, Reference

_FAMILIES = (
    basic,
    cfn,
    conv_lstm,
    glstm,
    grid_lstm,
    gru,
    lstm,
    mgu,
    minimal_rnn,
    nas,
    ugrnn,
)

REFERENCES: dict[str, Reference] = {
    name: reference for family in _FAMILIES for name, reference in family.REFERENCES.items()
}
CASES: list[Case] = [case for family in _FAMILIES for case in family.CASES]
