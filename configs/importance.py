"""How important each frame of a video is: a number for every frame, as in video summarisation.

python -m crnn_jax.main --config=configs/importance.py --config.data.path=FOLDER/labels.csv

labels.csv has the columns path and answer: a video, and a list of numbers, one for each of its
frames, as in `1.mp4,"[0.1, 0.1, 0.7]"`; or the name of a .npy or .csv file that holds them. Frames
of all sizes become 64x64.

Of 3,000 made clips, where a number says how fast a digit moves: Kendall's τ .857 on 269 test clips,
as 40x40, after 600 steps or 185 s of training on two cores (docs/results.md).
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.name = "number_per_frame"

    c.data.path = "labels.csv"
    c.data.height = 64
    c.data.width = 64
    c.data.fit = "pad"
    c.data.augment.flip = 0.5
    c.data.augment.brightness = 0.1
    c.data.augment.contrast = 0.1

    c.model.convs = ((16, 5, True), (32, 3, True), (64, 3, True))
    c.model.dense = (128,)
    c.model.aggregator = "bigru"
    c.model.gru_units = (64,)
    c.model.encoder_dropout = 0.1
    c.model.head = "last"

    c.train.batch_size = 16
    c.train.steps = 1000
    c.train.steps_per_dispatch = 10
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.1
    c.train.clip_norm = 1.0

    c.eval.every = 100
    c.checkpoint.every = 100
    return variant(c, arg)
