"""Any cell on the rows of Fashion-MNIST, 500 steps: an honest first comparison.

python -m rnnjax.main --workdir /tmp/gru --config experiments/family.py --config.model.cell=gru

The README's table says what to expect of each; `python -m rnnjax.cells` lists them. Only the
three-dimensional convolution needs an option more, since a row folds to 7 x 2 x 2:
`--config.model.cell_options="{'kernel_shape': (3, 2, 2)}"`.
"""

from rnnjax.config import Config


def get_config() -> Config:
    return Config(num_steps=500, log_every_steps=50, eval_every_steps=500)
