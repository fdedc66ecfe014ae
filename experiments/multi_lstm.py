"""The seed's Multi_LSTM: two LSTM layers of 256 units, each with half of its outputs dropped.

python -m rnnjax.main --workdir /tmp/multi_lstm --config experiments/multi_lstm.py

Expect a test accuracy of about 0.869 (one seed measured).
"""

from rnnjax.config import Config


def get_config() -> Config:
    config = Config()
    config.model.num_layers = 2
    config.model.output_keep_prob = 0.5
    return config
