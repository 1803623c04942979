"""The sum of 1 to 8 MNIST digits, learned from sums alone: the best network found so far.

python -m crnn_jax.main --config=configs/sum8.py --config.data.manual_dir=FOLDER

98 s of training on 2 virtual cores (AVX-512); rmse 0.539 ± .014 and exact .9820 ± .0020 on the
60,000 test sequences of MNIST (three seeds, 2026-11-27). `:quick` ends 13 s after its start with
rmse 0.922 ± .065 and exact .9470 ± .0058, better than mnistCRNN (2016) with its rmse of 1.17.

`:best` trains more than twice as long, 444 s on one core: rmse 0.496 ± .018 and exact .9856 ± .0012
(three seeds, 2026-11-28). `:gpu` is deeper, sees stronger changes and trains longer, for minutes of
one large GPU, where it was not measured; 300 of its 12,000 steps take 142 s on two cores, and end
with rmse 0.622 and exact .9716 (`--config.train.steps=300`, one seed).
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.max_length = 8

    c.data.augment.shift = 1.0
    c.data.augment.turn = 0.12
    c.data.augment.scale = 0.08
    c.data.augment.elastic = 0.6

    c.model.convs = ((24, 5, True), (48, 3, True), (96, 3, False))
    c.model.dense = (192,)
    c.model.gru_units = (128,)
    c.model.encoder_dropout = 0.3
    c.model.state_dropout = 0.1

    c.train.steps = 3400
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.4
    c.train.clip_norm = 1.0
    return variant(c, arg, quick=quick, best=best, gpu=gpu)


def quick(c: ConfigDict) -> None:
    """A network as small as that of 2016: no GRU, dropout or augmentation.

    Chosen on the validation images. Few kinds of layers also compile quickly.
    """
    for change in c.data.augment:
        c.data.augment[change] = 0.0
    c.model.convs = ((8, 4, True), (16, 3, True))
    c.model.dense = (64,)
    c.model.aggregator = "none"
    c.model.gru_units = ()
    c.model.encoder_dropout = 0.0
    c.model.state_dropout = 0.0
    c.train.batch_size = 32
    c.train.steps = 700
    c.train.steps_per_dispatch = 100
    c.train.learning_rate = 1e-2
    c.train.weight_decay = 0.0
    c.eval.every = 700
    c.checkpoint.every = 700


def best(c: ConfigDict) -> None:
    """More than twice as long, with somewhat stronger changes and averaged parameters."""
    c.data.augment.shift = 1.5
    c.data.augment.turn = 0.15
    c.data.augment.scale = 0.1
    c.data.augment.elastic = 0.7
    c.train.steps = 8000
    c.train.ema = 0.998


def gpu(c: ConfigDict) -> None:
    """About 250 epochs of five convolutions, half of them before the first pool."""
    c.data.augment.shift = 2.0
    c.data.augment.turn = 0.17
    c.data.augment.scale = 0.12
    c.data.augment.elastic = 0.8
    c.model.convs = ((32, 3, False), (32, 3, True), (64, 3, False), (64, 3, True), (128, 3, False))
    c.model.dense = (256,)
    c.model.encoder_dropout = 0.4
    c.train.batch_size = 256
    c.train.steps = 12_000
