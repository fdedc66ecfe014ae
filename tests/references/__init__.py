"""Independent maths of every registered cell; `common` says how it is written."""

from tests.references import basic, gru, independent, lstm, min_rnn, phased_lstm, qrnn, sru
from tests.references.common import Case, Reference

_FAMILIES = (basic, gru, lstm, phased_lstm, sru, qrnn, independent, min_rnn)

REFERENCES: dict[str, Reference] = {
    name: reference for family in _FAMILIES for name, reference in family.REFERENCES.items()
}
CASES: list[Case] = [case for family in _FAMILIES for case in family.CASES]
