"""Every field of a config: its default, what values it takes, and what it means.

Names that a field can hold (of tasks, heads, optimizers, …) are looked up in the tables of what
they name when a value is checked, so this module imports none of them.
"""

import os
import pkgutil
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from crnn_jax import UserError


class Kind(NamedTuple):
    """What values a field takes, as a test and in words."""

    accepts: Callable[[Any], bool]
    expected: Callable[[], str]


class Field(NamedTuple):
    """A field of a config."""

    default: Any
    kind: Kind
    about: str  # its meaning or unit


def whole(least: int, most: int = 2**31 - 1) -> Kind:
    """Whole numbers of a range; no bool, though that is an int too."""
    return Kind(
        lambda value: type(value) is int and least <= value <= most,
        lambda: f"a whole number from {least} to {most:,}",
    )


def number(accepts: Callable[[float], bool], expected: str) -> Kind:
    """Finite numbers; compared, because `math.isfinite` fails on those of hundreds of digits."""
    return Kind(
        lambda value: (
            type(value) in (int, float) and abs(value) <= sys.float_info.max and accepts(value)
        ),
        lambda: expected,
    )


def tuple_of(accepts: Callable[[Any], bool], items: str) -> Kind:
    """Tuples of not too many items, all of which are accepted."""
    return Kind(
        lambda value: isinstance(value, tuple) and len(value) <= 100 and all(map(accepts, value)),
        lambda: f"up to 100 {items}",
    )


def one_of(names: str | tuple[str, ...]) -> Kind:
    """Some names, or those in a table, which is given by its own name."""

    def known() -> Iterable[str]:
        return _look_up(names) if isinstance(names, str) else names

    return Kind(
        lambda value: isinstance(value, str) and value in known(), lambda: " or ".join(known())
    )


def _look_up(name: str) -> Any:
    return pkgutil.resolve_name(f"crnn_jax.{name}")


def _sources() -> Iterable[str]:
    return _look_up("data.sources.SOURCES")


def one_of_numbers(*numbers: int) -> Kind:
    """Some whole numbers."""
    return Kind(
        lambda value: type(value) is int and value in numbers,
        lambda: " or ".join(map(str, numbers)),
    )


def _is_conv(layer: Any) -> bool:
    match layer:
        case (features, size, pool) | (features, size, pool, "same"):
            if not isinstance(pool, bool) and pool != "tall":
                return False
            return whole(1).accepts(features) and whole(1, 100).accepts(size)
    return False


# The limits are more than anyone needs: far larger values would take hours, or all memory.
count, seed, frames = whole(1), whole(0, 2**32 - 1), whole(1, 1000)
amount = number(lambda value: value >= 0, "a number, 0 or more")
share = number(lambda value: 0 <= value < 1, "a number, 0 or more and less than 1")
rate = number(lambda value: value > 0, "a finite number above 0")
switch = Kind(lambda value: isinstance(value, bool), lambda: "true or false")
pixels = whole(0, 4096)
text = Kind(lambda value: isinstance(value, str), lambda: "a name")
path_or_none = Kind(lambda value: isinstance(value, str), lambda: 'a folder or a file, or ""')
dataset_name = Kind(
    lambda value: isinstance(value, str) and (value in _sources() or value.startswith("tfds:")),
    lambda: f"{' or '.join(_sources())}, or tfds:NAME for one that TFDS has prepared",
)
folder = Kind(lambda value: isinstance(value, str) and value != "", lambda: "a folder")
folder_or_none = Kind(lambda value: isinstance(value, str), lambda: 'a folder, or ""')
attended = Kind(
    lambda value: whole(0).accepts(value) and value % _look_up("model.decoder.ATTENTIONS") == 0,
    lambda: f"a multiple of {_look_up('model.decoder.ATTENTIONS')}",
)
convs = tuple_of(_is_conv, '(features, kernel size up to 100, pool), as in "((16, 5, True),)"')
units = tuple_of(count.accepts, 'whole numbers above 0, as in "(100, 50)" or "(128,)"')
lengths = tuple_of(whole(1, 10_000).accepts, 'numbers of 1 to 10,000, as in "(1, 10, 100)"')

FIELDS: dict[str, Field] = {
    "seed": Field(0, seed, "of parameters, draw, dropout and augmentation"),
    #
    "task.name": Field("sum", one_of("tasks.TASKS"), "what is asked of a sequence"),
    "task.min_length": Field(1, frames, "frames of the shortest sequence"),
    "task.max_length": Field(8, frames, "frames of the longest sequence"),
    "task.unit": Field(
        "words", one_of(("words", "characters")), "what written answers are made of"
    ),
    "task.every_step": Field(False, switch, "ask for the answer after every frame, not the last"),
    #
    "data.name": Field("mnist", dataset_name, "the data set, where no data.path is given"),
    "data.path": Field("", path_or_none, "your own images or clips: a folder, or a list of files"),
    "data.answer": Field(
        "", text, 'column of the answers in a list of files, or "filename"; "": answer or label'
    ),
    "data.outside": Field(False, switch, "let a list of files name files outside its folder"),
    "data.channels": Field(0, one_of_numbers(0, 1, 3), "1: grey, 3: RGB; 0: RGB where any is"),
    "data.height": Field(0, pixels, "of your frames, in pixels; 0: as they are, all the same"),
    "data.width": Field(0, pixels, "likewise"),
    "data.fit": Field(
        "", one_of(("", "stretch", "pad", "crop")), 'to that size; "": refuse frames of another one'
    ),
    "data.strip": Field(
        0, whole(0, 64), "pictures are lines, read in strips of so many pixels; 0: frames"
    ),
    "data.stride": Field(1, frames, "take every so many frames of a clip"),
    "data.max_frames": Field(300, frames, "of a clip at most, the first ones"),
    "data.frames": Field(0, whole(0, 1000), "take so many of a clip, evenly spread; 0: see stride"),
    "data.validation": Field(0.1, share, "of your data, by a hash of each name, if not given"),
    "data.test": Field(0.1, share, "likewise"),
    "data.data_dir": Field("~/.cache/crnn_jax", folder, "where prepared data sets are kept"),
    "data.manual_dir": Field("", folder_or_none, "folder of the published files of a data set"),
    "data.fallback": Field(True, switch, "train on mnist-5k where mnist is not available"),
    "data.once": Field(
        False, switch, "put each training image into one sequence only, dealt out by the seed"
    ),
    "data.feed": Field("resident", one_of("data.feed.FEEDS"), "images on the device, or streamed"),
    "data.augment.shift": Field(0.0, amount, "largest shift of a training frame, in pixels"),
    "data.augment.turn": Field(0.0, amount, "largest rotation of a training frame, in radians"),
    "data.augment.scale": Field(0.0, share, "largest change of its size, as a share"),
    "data.augment.elastic": Field(0.0, amount, "elastic bending: standard deviation in pixels"),
    "data.augment.flip": Field(0.0, share, "share of the clips to mirror, left to right"),
    "data.augment.brightness": Field(0.0, share, "largest change, as a share of white"),
    "data.augment.contrast": Field(0.0, share, "largest change, as a share"),
    "data.augment.slant": Field(0.0, share, "of lines: largest shear, as a share of the height"),
    "data.augment.thickness": Field(0.0, share, "of lines: share by which pens may differ"),
    "data.augment.noise": Field(0.0, share, "of lines: the most noise, as a share of white"),
    #
    "model.encoder": Field(
        "frames", one_of("model.crnn.ENCODERS"), "each frame by itself, or the columns of a line"
    ),
    "model.convs": Field(
        ((16, 5, True), (32, 3, True)),
        convs,
        "features, kernel size and 2x2 max pooling of each convolution (tall: 2x1, of the height "
        'alone); a fourth item "same" pads',
    ),
    "model.dense": Field((), units, "features of each dense layer after the convolutions"),
    "model.activation": Field("relu", one_of("model.encoder.ACTIVATIONS"), "after these layers"),
    "model.class_bottleneck": Field(False, switch, "pass on the classes' probabilities alone"),
    "model.aggregator": Field(
        "gru",
        one_of("model.aggregators.AGGREGATORS"),
        "a GRU, one in both directions, the mean of the features so far, or each frame by itself",
    ),
    "model.gru_units": Field((64,), units, "units of each GRU layer, and direction"),
    "model.encoder_dropout": Field(0.0, share, "share of the encoder's features to drop"),
    "model.state_dropout": Field(0.0, share, "share of the aggregator's units to drop"),
    "model.head": Field("marginal", one_of("model.crnn.HEADS"), "what reads the states"),
    "model.decoder_units": Field(0, attended, "units of the head decoder"),
    "model.beam": Field(1, whole(1, 256), "texts that the head ctc keeps in reading; 1: greedy"),
    "model.dtype": Field("float32", one_of(("float32", "bfloat16")), "of the activations"),
    "model.unroll": Field(
        0, whole(0, 1000), "steps in one turn of a loop over time; 0: 1 on a CPU, elsewhere 16"
    ),
    #
    "init.workdir": Field("", folder_or_none, "run whose latest parameters this one starts from"),
    "init.part": Field("encoder", one_of(("encoder", "all")), "which of its parameters"),
    "init.frozen": Field(False, switch, "keep the encoder as it is"),
    #
    "train.batch_size": Field(64, count, "sequences a step, over all devices"),
    "train.micro_batch_size": Field(
        0, whole(0), "sequences encoded at once; 0: up to 32 on a CPU, elsewhere all of a device"
    ),
    "train.steps": Field(1000, count, "parameter updates"),
    "train.steps_per_dispatch": Field(20, count, "updates in one call of the compiled function"),
    "train.optimizer": Field("adam", one_of("model.optimizer.OPTIMIZERS"), "what makes an update"),
    "train.learning_rate": Field(1e-3, rate, "the largest of the schedule"),
    "train.schedule": Field(
        "constant",
        one_of("model.optimizer.SCHEDULES"),
        "of the learning rate; one_cycle rises for 20 % of the steps, then falls to 0",
    ),
    "train.weight_decay": Field(
        0.0, amount, "share of the kernels to take off each step, times the learning rate"
    ),
    "train.clip_norm": Field(0.0, amount, "largest norm of the gradient; 0: no limit"),
    "train.deterministic": Field(True, switch, "on a GPU, the same bits in every run, if slower"),
    "train.class_weights": Field(False, switch, "let all classes weigh the same, however rare"),
    "train.patience": Field(
        0, whole(0), "evaluations without a better score to stop after, with the best; 0: never"
    ),
    "train.ema": Field(
        0.0, share, "decay of an average of the parameters, which is evaluated and kept; 0: none"
    ),
    "train.on_labels": Field(False, switch, "train on true classes instead of the encoder's"),
    #
    "eval.every": Field(1000, count, "steps between evaluations on the validation images"),
    "eval.validation_sequences": Field(8000, count, "sequences of such an evaluation"),
    "eval.test_sequences": Field(60_000, count, "sequences of the test at the end"),
    "eval.lengths": Field((), lengths, "more lengths to test, in frames"),
    "eval.seed": Field(1, seed, "of the draw of validation and test sequences"),
    #
    "checkpoint.every": Field(1000, count, "steps between checkpoints"),
    "checkpoint.keep_latest": Field(2, count, "latest checkpoints to keep"),
    "checkpoint.keep_best": Field(1, whole(0), "best ones, by validation rmse or else exact"),
}

RENAMED = {
    "data.corpus": "data.name",
    "model.recurrent": "model.gru_units",
    "model.decoder": "model.decoder_units",
    "model.feature_dropout": "model.encoder_dropout",
    "model.dropout": "model.state_dropout",
    "model.classify": "model.class_bottleneck",
    "task.name=glyph": "task.name=class",
    "task.name=classify": "task.name=class",
}
"""Old names of fields, and of values, with their names of today."""


def default() -> ConfigDict:
    """A config that holds every field's default, locked: it takes no other fields.

    data.manual_dir is that of the environment variable CRNN_JAX_MANUAL_DIR, where it is set.
    """
    return make({})


def is_own(data: ConfigDict) -> bool:
    """Whether a config's `data` section names data of the user's own, or any that TFDS prepared."""
    return bool(data.path) or data.name.startswith("tfds:")


def make(values: Mapping[str, Any]) -> ConfigDict:
    """A locked config of values by field; the other fields have their defaults."""
    defaults = {name: field.default for name, field in FIELDS.items()}
    defaults["data.manual_dir"] = os.environ.get("CRNN_JAX_MANUAL_DIR", "")
    tree: dict[str, Any] = {}
    for name, value in {**defaults, **values}.items():
        *sections, last = name.split(".")
        holder = tree
        for section in sections:
            holder = holder.setdefault(section, {})
        holder[last] = value
    return ConfigDict(tree).lock()


def refusal(name: str, value: str) -> UserError:
    """What to say of a value that a field does not take."""
    field, setting = FIELDS[name], f"{name}={value}"
    hint = f" ({RENAMED[setting]} is its name now)" if setting in RENAMED else ""
    return UserError(f"--config.{setting}{hint}: expected {field.kind.expected()} ({field.about})")
