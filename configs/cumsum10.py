"""Running sums of up to 10 MNIST digits: the answer after every frame is trained and scored.

python -m crnn_jax.main --config=configs/cumsum10.py
python -m crnn_jax.main --config=configs/cumsum10.py:best   # trained longer, as sum8:best
python -m crnn_jax.main --mode=evaluate --workdir=runs/cumsum10
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.max_length = 10
    c.task.every_step = True

    c.data.augment.shift = 1.0
    c.data.augment.turn = 0.12
    c.data.augment.scale = 0.08
    c.data.augment.elastic = 0.6

    c.model.convs = ((24, 5, True), (48, 3, True), (96, 3, False))
    c.model.dense = (192,)
    c.model.gru_units = (128,)
    c.model.encoder_dropout = 0.3
    c.model.state_dropout = 0.1

    c.train.batch_size = 60
    c.train.micro_batch_size = 30
    c.train.steps = 3400
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.4
    c.train.clip_norm = 1.0

    c.eval.lengths = (1, 10, 100, 1000)
    return variant(c, arg, best=best)


def best(c: ConfigDict) -> None:
    """As many frames as `sum8:best`, with its changes and averaged parameters."""
    c.data.augment.shift = 1.5
    c.data.augment.turn = 0.15
    c.data.augment.scale = 0.1
    c.data.augment.elastic = 0.7
    c.train.steps = 6800
    c.train.ema = 0.998
