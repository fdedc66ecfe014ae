"""The TF1 tutorial's Multi_LSTM: two layers of 256 units, half of each one's outputs dropped.

python -m rnnjax.main --workdir /tmp/multi_lstm --config experiments/multi_lstm.py

Expect a test accuracy of 0.865 ± 0.006 (3 seeds) after 7 minutes on two CPU cores.
"""

from rnnjax.config import Config


def get_config() -> Config:
    config = Config()
    config.model.num_layers = 2
    config.model.output_keep_prob = 0.5
    return config
