"""Any cell on the rows of Fashion-MNIST, 500 steps: an honest first comparison.

python -m rnnjax.main --workdir /tmp/gru --config experiments/family.py --config.model.cell=gru

docs/cells.md says what to expect of each; `python -m rnnjax.cells` lists them.
"""

from rnnjax.config import Config


def get_config() -> Config:
    return Config(num_steps=500, log_every_steps=50, eval_every_steps=500)
