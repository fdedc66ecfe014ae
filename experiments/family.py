r"""Any cell on the rows of Fashion-MNIST, 500 steps: an honest first comparison.

python -m rnnjax.main --workdir /tmp/gru --config experiments/family.py --config.model.cell=gru

The tables of README.md, "Every cell"; typed again after an interruption, a command goes on:

python -m rnnjax.compare --out /tmp/family --config experiments/family.py --seeds 5 --jobs 2 \
  --vary model.cell=lstm,gru,rnn,coupled_lstm,layer_norm_lstm,layer_norm_gru,weight_norm_lstm,\
mgu,ugrnn,intersection_rnn,nas,minimal_rnn,cfn,phased_lstm,sru,qrnn,indrnn,indy_lstm,indy_gru,\
glstm+num_groups=4,min_gru,min_lstm,slstm+num_heads=4 \
  --vary optimizer.learning_rate=best:1e-3,3e-3,1e-2

python -m rnnjax.compare --out /tmp/family --config experiments/family.py --seeds 3 --jobs 2 \
  --vary model.cell=lstm,grid_lstm+feature_size=14,conv_lstm_1d,conv_lstm_2d,conv_lstm_3d \
  --vary optimizer.learning_rate=best:1e-3,3e-3,1e-2 --seeds_at_once 1

python -m rnnjax.compare --out /tmp/family_equal --config experiments/family.py --seeds 5 --jobs 2 \
  --vary model.cell=lstm,gru,rnn,min_gru,indrnn --compute equal \
  --vary optimizer.learning_rate=best:1e-3,3e-3,1e-2
"""

from rnnjax.config import Config


def get_config() -> Config:
    return Config(num_steps=500, log_every_steps=50, eval_every_steps=100)
