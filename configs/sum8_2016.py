"""The sum of 1..8 MNIST digits with the network of mnistCRNN (2016), as published.

python -m crnn_jax.main --config=configs/sum8_2016.py --config.data.manual_dir=FOLDER

On 2 virtual cores (AVX-512) 6,600 sequences/s (benchmarks/RESULTS.md), by which 100 epochs take 15
minutes; test rmse below 1.17 after 7 epochs and below 1.10 after 14 (one seed, stopped after 38,
of an earlier revision).
"""

import os

from ml_collections import ConfigDict

from crnn_jax.config.variants import variant


def get_config(arg: str | None = None) -> ConfigDict:
    """The experiment; with `arg` "smoke", a run of seconds."""
    c = ConfigDict()
    c.seed = 0  # of parameters, draw, dropout and augmentation

    c.task = ConfigDict()
    c.task.name = "sum"  # what is asked (crnn_jax/tasks.py)
    c.task.min_length = 1  # frames of the shortest sequence
    c.task.max_length = 8  # frames of the longest sequence
    c.task.every_step = False  # whether the answer after every frame is asked, or only the last

    c.data = ConfigDict()
    c.data.corpus = "mnist"  # mnist, optdigits, emnist/letters or emnist/letters-a-j
    c.data.data_dir = "~/.cache/crnn_jax"  # where prepared corpora are kept
    c.data.manual_dir = os.environ.get("CRNN_JAX_MANUAL_DIR", "")  # folder of the four MNIST files
    c.data.fallback = True  # go on with optdigits, and a warning, where mnist cannot be had
    c.data.feed = "resident"  # resident (corpus on the device) or streamed (from the host)
    c.data.augment = ConfigDict()  # the largest random change of a training frame, each way
    c.data.augment.shift = 0.0  # pixels
    c.data.augment.turn = 0.0  # radians
    c.data.augment.scale = 0.0  # share of the size
    c.data.augment.elastic = 0.0  # pixels: standard deviation of elastic bending

    c.model = ConfigDict()
    c.model.convs = ((8, 4, True), (8, 3, False))  # (features, size, max pool)
    c.model.dense = ()  # features of each dense layer after them
    c.model.activation = "relu"  # relu, tanh or sigmoid
    c.model.class_bottleneck = False  # pass on class probabilities of a frame alone
    c.model.aggregator = "gru"  # gru, mean (of the features so far) or none (each frame alone)
    c.model.gru_units = (100, 50)  # units of each GRU layer
    c.model.encoder_dropout = 0.0  # share of the encoder's features dropped in training
    c.model.state_dropout = 0.2  # share of the last states' units
    c.model.head = "last"  # last, cumulative, marginal (crnn_jax/model/heads.py) or decoder
    c.model.decoder_units = 0  # units of the decoder, where that is the head
    c.model.dtype = "float32"  # computed in; bfloat16 pays on accelerators

    c.init = ConfigDict()
    c.init.workdir = ""  # folder of another run, whose parameters this one starts from
    c.init.part = "encoder"  # which of them: encoder or all
    c.init.frozen = False  # whether the encoder then stays as it is

    c.train = ConfigDict()
    c.train.batch_size = 32  # sequences a step, over all devices
    c.train.micro_batch_size = 0  # sequences encoded at once; 0: 32 on a CPU, elsewhere all
    c.train.steps = 187_500  # 100 epochs of 60,000 sequences; parameter updates
    c.train.steps_per_dispatch = 125  # updates that one call of the compiled function makes
    c.train.optimizer = "rmsprop"  # adam, rmsprop or sgd
    c.train.learning_rate = 1e-3  # the largest
    c.train.schedule = "constant"  # constant or one_cycle (up in the first 20 %, down to 0)
    c.train.weight_decay = 0.0  # share of the kernels, times the learning rate, taken off
    c.train.clip_norm = 0.0  # largest norm of the gradient; 0 for no limit
    c.train.on_labels = False  # train on true classes in place of the encoder's

    c.eval = ConfigDict()
    c.eval.every = 1875  # steps between evaluations on the validation images
    c.eval.validation_sequences = 8000
    c.eval.test_sequences = 60_000
    c.eval.lengths = ()  # test at these lengths too, in frames; () for those of training alone
    c.eval.seed = 1  # of the draw of validation and test sequences

    c.checkpoint = ConfigDict()
    c.checkpoint.every = 1875  # steps; where eval.every does not fall too, without a score
    c.checkpoint.keep_latest = 2
    c.checkpoint.keep_best = 1  # by rmse on the validation images, or by exact where there is none

    return variant(c, arg)
