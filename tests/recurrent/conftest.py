"""A stand-in for cuDNN."""

import jax
import pytest
from jax.experimental import rnn

from tests.recurrent.accelerated import reference_backward, reference_forward


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX's own LSTM in the place of cuDNN's."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(rnn, "lstm_fwd", reference_forward)
    monkeypatch.setattr(rnn, "lstm_bwd", reference_backward)
