"""Your own lines: pictures of any width, and the text in each. A thousand are enough to begin with.

python -m crnn_jax.main --mode=data --config=configs/lines.py --config.data.path=FOLDER
python -m crnn_jax.main --config=configs/lines.py --config.data.path=FOLDER

FOLDER holds labels.csv, with the columns path and answer, as in `1.png,a line of text`; other ways
are in docs/data.md. Lines are scaled to 32 pixels of height. What another run of this config has
learned helps, whatever its alphabet is: --config.init.workdir=RUN --config.init.part=all.
"""

from ml_collections import ConfigDict

from crnn_jax.config import default, variant


def get_config(arg: str | None = None) -> ConfigDict:
    c = default()
    c.task.name = "line"

    c.data.path = "lines"
    c.data.channels = 1
    c.data.height = 32
    c.data.strip = 4
    c.data.augment.slant = 0.2
    c.data.augment.shift = 1.5
    c.data.augment.scale = 0.1
    c.data.augment.elastic = 0.5
    c.data.augment.thickness = 0.3
    c.data.augment.contrast = 0.3
    c.data.augment.noise = 0.05

    c.model.encoder = "columns"
    c.model.convs = (
        (16, 5, True, "same"),
        (32, 3, True, "same"),
        (64, 3, "tall", "same"),
        (64, 3, "tall", "same"),
    )
    c.model.dense = (128,)
    c.model.aggregator = "bigru"
    c.model.gru_units = (96,)
    c.model.encoder_dropout = 0.2
    c.model.state_dropout = 0.3
    c.model.head = "ctc"

    c.train.batch_size = 16
    c.train.steps = 4000
    c.train.learning_rate = 3e-3
    c.train.schedule = "one_cycle"
    c.train.weight_decay = 0.1
    c.train.clip_norm = 1.0
    c.train.patience = 10

    c.eval.every = 200
    c.checkpoint.every = 200
    return variant(c, arg)
