"""The seed's Single_LSTM."""

from rnnjax.config import Config


def get_config() -> Config:
    return Config()
