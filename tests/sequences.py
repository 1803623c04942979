"""Stored sequences made in memory, to train on."""

import numpy as np

from crnn_jax import tasks
from crnn_jax.data.dataset import Dataset, DatasetInfo
from crnn_jax.data.sequences import Sequences

SHAPE = (6, 5, 1)
LINE = (8, 2, 1)
"""Height, width and channels of the strips of lines."""

WORDS = ("cat", "dog", "runs", "sleeps", "END")


def sequences(count=24, seed=0, shortest=1, longest=7, kind="class", shape=SHAPE):
    """A part of so many clips of noise, with answers of a kind; some lines are too short."""
    shape = LINE if kind == "line" else shape
    rng = np.random.default_rng(seed)
    lengths = rng.integers(shortest, longest + 1, count, dtype=np.int32)
    frames = [rng.integers(0, 256, (length, *shape), np.uint8) for length in lengths]
    answers = {
        "class": rng.integers(0, 3, count, dtype=np.int32),
        "number": rng.normal(50, 10, count).astype(np.float32),
        "numbers": rng.normal(5, 2, lengths.sum()).astype(np.float32),
        "text": np.array([f"{rng.choice(WORDS[:2])} {rng.choice(WORDS[2:4])}" for _ in frames]),
        "line": np.array(["".join(rng.choice([*"abc"], 1 + i % 4)) for i in range(count)]),
    }[kind]
    names = tuple(f"clip{i}" for i in range(count))
    return Sequences(lengths, answers, shape, names, lambda chosen: [frames[i] for i in chosen])


def dataset(kind="class", count=24, shape=SHAPE):
    """A data set of such parts."""
    train, validation, test = (
        sequences(count=n, seed=seed, kind=kind, shape=shape)
        for seed, n in enumerate((count, 9, 11))
    )
    counts = tuple(np.bincount(train.answers, minlength=3).tolist()) if kind == "class" else ()
    info = DatasetInfo(
        "made",
        "sequences:0123",
        LINE if kind == "line" else shape,
        ("a", "b", "c") if kind == "class" else (),
        glyphs=False,
        answer="text" if kind == "line" else kind,
        longest=7,
        counts=counts,
        mean=50.0 if kind == "number" else 5.0 if kind == "numbers" else 0.0,
        deviation=10.0 if kind == "number" else 2.0 if kind == "numbers" else 1.0,
        vocabulary={"text": WORDS, "line": (*"abc",)}.get(kind, ()),
        symbols={"text": 3, "line": 4}.get(kind, 0),
    )
    return Dataset(info, train, validation, test)


TASK = {"class": "class", "number": "number", "numbers": "number_per_frame"}
TASK |= {"text": "text", "line": "line"}


def asking_for(config, kind="class"):
    """The config, changed to ask about such a data set with a small network."""
    config.data.path = "made"
    config.task.name = TASK[kind]
    config.data.strip = LINE[1] if kind == "line" else 0
    config.model.encoder = "columns" if kind == "line" else "frames"
    config.model.convs = ((3, 3, True, "same"),) if kind == "line" else ((3, 3, True),)
    config.model.head = {"class": "class", "text": "decoder", "line": "ctc"}.get(kind, "last")
    config.model.decoder_units = 8 if kind == "text" else 0
    config.model.gru_units = (4,)
    for change in config.data.augment:
        config.data.augment[change] = 0.0
    config.train.batch_size = 8
    config.train.weight_decay = 0.0
    return config


def task(config, kind="class"):
    """The task about such a data set."""
    return tasks.build(asking_for(config, kind), dataset(kind).info)
