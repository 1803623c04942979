"""The sum of 1..8 MNIST digits, learned from sums alone: the best network found for the job.

python -m crnn_jax.main --config=configs/sum8.py --config.data.manual_dir=FOLDER

On 2 virtual cores (AVX-512) 98 s of training; rmse 0.539 ± .014 and exact .9820 ± .0020 on
the 60,000 test sequences of MNIST (three seeds, 2026-11-27). `:quick` is done 13 s after its start,
with rmse 0.922 ± .065 and exact .9470 ± .0058: better than mnistCRNN (2016) with its rmse of 1.17.
"""

import os

from ml_collections import ConfigDict

from crnn_jax.config.variants import variant


def get_config(arg: str | None = None) -> ConfigDict:
    """The experiment; with `arg` "quick", one of 13 s, with "smoke", one that learns nothing."""
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
    c.data.augment.shift = 1.0  # pixels
    c.data.augment.turn = 0.12  # radians
    c.data.augment.scale = 0.08  # share of the size
    c.data.augment.elastic = 0.6  # pixels: standard deviation of elastic bending

    c.model = ConfigDict()
    c.model.convs = ((24, 5, True), (48, 3, True), (96, 3, False))  # (features, size, max pool)
    c.model.dense = (192,)  # features of each dense layer after them
    c.model.activation = "relu"  # relu, tanh or sigmoid
    c.model.class_bottleneck = False  # pass on class probabilities of a frame alone
    c.model.aggregator = "gru"  # gru, mean (of the features so far) or none (each frame alone)
    c.model.gru_units = (128,)  # units of each GRU layer
    c.model.encoder_dropout = 0.3  # share of the encoder's features dropped in training
    c.model.state_dropout = 0.1  # share of the last states' units
    c.model.head = "marginal"  # last, cumulative, marginal (crnn_jax/model/heads.py) or decoder
    c.model.decoder_units = 0  # units of the decoder, where that is the head
    c.model.dtype = "float32"  # computed in; bfloat16 pays on accelerators

    c.init = ConfigDict()
    c.init.workdir = ""  # folder of another run, whose parameters this one starts from
    c.init.part = "encoder"  # which of them: encoder or all
    c.init.frozen = False  # whether the encoder then stays as it is

    c.train = ConfigDict()
    c.train.batch_size = 64  # sequences a step, over all devices
    c.train.micro_batch_size = 0  # sequences encoded at once; 0: 32 on a CPU, elsewhere all
    c.train.steps = 3400  # parameter updates
    c.train.steps_per_dispatch = 20  # updates that one call of the compiled function makes
    c.train.optimizer = "adam"  # adam, rmsprop or sgd
    c.train.learning_rate = 3e-3  # the largest
    c.train.schedule = "one_cycle"  # constant or one_cycle (up in the first 20 %, down to 0)
    c.train.weight_decay = 0.4  # share of the kernels, times the learning rate, taken off
    c.train.clip_norm = 1.0  # largest norm of the gradient; 0 for no limit
    c.train.on_labels = False  # train on true classes in place of the encoder's

    c.eval = ConfigDict()
    c.eval.every = 1000  # steps between evaluations on the validation images
    c.eval.validation_sequences = 8000
    c.eval.test_sequences = 60_000
    c.eval.lengths = ()  # test at these lengths too, in frames; () for those of training alone
    c.eval.seed = 1  # of the draw of validation and test sequences

    c.checkpoint = ConfigDict()
    c.checkpoint.every = 1000  # steps; where eval.every does not fall too, without a score
    c.checkpoint.keep_latest = 2
    c.checkpoint.keep_best = 1  # by rmse on the validation images, or by exact where there is none

    return variant(c, arg, quick=quick)


def quick(c: ConfigDict) -> None:
    """A network as small as that of 2016, and the likelihood of the sum; no GRU, none of the rest.

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
