"""A small LSTM on drawn garments: is everything installed? No data, no network.

python -m rnnjax.main --workdir /tmp/smoke --config experiments/smoke.py

Expect a test accuracy of about 0.86 (300 steps) within a minute on two CPU cores.
"""

from rnnjax.config import Config


def get_config() -> Config:
    config = Config(num_steps=300, log_every_steps=50)
    config.data.name = "garments"
    config.model.hidden_size = 128
    config.optimizer.learning_rate = 3e-3
    return config
