"""The TF1 tutorial's GRU, reset before the product as in TF1: 256 units, rows.

python -m rnnjax.main --workdir /tmp/gru --config experiments/gru.py

Expect a test accuracy of 0.868 ± 0.008 (3 seeds) after 3 minutes on one CPU core.
"""

from rnnjax.config import Config


def get_config() -> Config:
    config = Config()
    config.model.cell = "gru"
    return config
