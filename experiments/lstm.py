"""The TF1 tutorial's Single_LSTM: 256 units, rows, Adam at 0.001, batch 128, 2,000 steps.

python -m rnnjax.main --workdir /tmp/lstm --config experiments/lstm.py

Expect a test accuracy of 0.863 ± 0.008 (3 seeds) after 2 minutes on two CPU cores.
"""

from rnnjax.config import Config


def get_config() -> Config:
    return Config()  # the defaults are the tutorial's recipe
