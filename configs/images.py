"""What an image shows: one of your own classes.

python -m crnn_jax.main --mode=data --config=configs/images.py --config.data.path=FOLDER
python -m crnn_jax.main --config=configs/images.py --config.data.path=FOLDER

FOLDER holds `cat/1.jpg`, `dog/2.png`, …: one folder a class, images of any size, in grey or colour.
They become 64x64, padded with black.

1,800 made pictures of six kinds of clothes: .995 of 197 test pictures, after 500 steps or 64 s of
training on two cores (docs/results.md).
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.name = "class"
    c.task.max_length = 1

    c.data.path = "images"
    c.data.height = 64
    c.data.width = 64
    c.data.fit = "pad"
    c.data.augment.shift = 3.0
    c.data.augment.turn = 0.15
    c.data.augment.scale = 0.15
    c.data.augment.flip = 0.5
    c.data.augment.brightness = 0.1
    c.data.augment.contrast = 0.1

    c.model.convs = ((32, 3, True), (32, 3, True), (64, 3, True), (64, 3, False, "same"))
    c.model.dense = (128,)
    c.model.aggregator = "none"
    c.model.gru_units = ()
    c.model.encoder_dropout = 0.4
    c.model.head = "class"

    c.train.batch_size = 64
    c.train.steps = 1000
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.1
    c.train.clip_norm = 1.0
    c.train.class_weights = True

    c.eval.every = 100
    c.checkpoint.every = 100
    return variant(c, arg)
