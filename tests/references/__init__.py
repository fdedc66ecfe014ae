"""Independent maths of every registered cell; `common` says how it is written."""

from tests.references import basic, coupled, gru, layer_norm, lstm, slstm, weight_norm
from tests.references.common import Case, Reference

_FAMILIES = (basic, gru, lstm, coupled, layer_norm, weight_norm, slstm)

REFERENCES: dict[str, Reference] = {
    name: reference for family in _FAMILIES for name, reference in family.REFERENCES.items()
}
CASES: list[Case] = [case for family in _FAMILIES for case in family.CASES]
