"""Independent maths of every registered cell; `common` says how it is written."""

from tests.references import basic, cfn, gru, lstm, mgu, minimal_rnn, nas, ugrnn
from tests.references.common import Case, Reference

_FAMILIES = (basic, gru, lstm, mgu, ugrnn, nas, minimal_rnn, cfn)
from tests.references import basic, conv_lstm, glstm, grid_lstm, gru, lstm
from tests.references.common import Case, Reference

_FAMILIES = (basic, conv_lstm, glstm, grid_lstm, gru, lstm)

REFERENCES: dict[str, Reference] = {
    name: reference for family in _FAMILIES for name, reference in family.REFERENCES.items()
}
CASES: list[Case] = [case for family in _FAMILIES for case in family.CASES]
