"""The seed's simplest cell: BasicRNN, 256 units, rows.

python -m rnnjax.main --workdir /tmp/rnn --config experiments/rnn.py
"""

from rnnjax.config import Config


def get_config() -> Config:
    config = Config()
    config.model.cell = "rnn"
    return config
