"""What is read from outside, damaged at random: it is read right, or refused in one clear line."""

import contextlib
import gzip
import io
import json
import math
import shutil
import struct
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, PngImagePlugin

from crnn_jax import UserError, tasks
from crnn_jax.config import FIELDS, default, read_config
from crnn_jax.config.stored import NOT_OF_TRAINING
from crnn_jax.data.dataset import known_info, load_dataset
from crnn_jax.data.sources.idx import read_idx, read_pair
from crnn_jax.model import crnn
from crnn_jax.pictures import frames_of
from crnn_jax.runs.folder import RunFolder, read_json
from crnn_jax.train.run import stored_corpus
from tests.files import idx_bytes, png_bytes


def repeatable(examples):
    """The same inputs in every run of the same code, however slow the machine."""
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def assert_one_clear_line(error, path):
    """Names the file or folder, what was expected or what to do, and is short and printable."""
    line = str(error)
    assert str(path) in line
    assert any(word in line for word in ("expected", "name another", "give that run's"))
    assert line.isprintable()
    assert len(line) < 4_000


@st.composite
def damaged(draw, content, most=4):
    """Bytes with up to `most` changes, often none: flipped, cut out, doubled, put in, cut off."""
    content = bytearray(content)
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(content)))
        kind = draw(st.sampled_from(["flip", "number", "out", "double", "in", "end"]))
        if kind == "flip" and at < len(content):
            content[at] ^= draw(st.integers(1, 255))
        elif kind == "number":  # what sizes in headers are made of
            big = draw(st.sampled_from([b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff"]))
            content[at : at + 4] = big
        elif kind == "out":
            del content[at : at + draw(st.integers(1, 20))]
        elif kind == "double":
            content[at:at] = content[at : at + draw(st.integers(1, 200))]
        elif kind == "in":
            content[at:at] = draw(st.binary(min_size=1, max_size=20))
        else:
            del content[at:]
    return bytes(content)


SIZES = st.integers(0, 5) | st.sampled_from([28, 2**16, 2**31 - 1, 2**31, 2**32 - 1])


@st.composite
def idx_files(draw, ndim, size=None):
    """A gzipped IDX file, whole or with damage to its header, its content or the gzip around."""
    shape = [draw(st.integers(0, 4)) for _ in range(ndim)] if size is None else size
    content = draw(st.binary(min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    where = draw(st.sampled_from(["nowhere", "sizes", "idx", "gzip", "everything"]))
    claimed = [draw(SIZES | st.just(side)) for side in shape] if where == "sizes" else shape
    idx = bytes([0, 0, 8, ndim]) + np.array(claimed, ">u4").tobytes() + content
    if where == "idx":
        idx = draw(damaged(idx))
    packed = gzip.compress(idx, mtime=0)
    if where == "gzip":
        return draw(damaged(packed))
    return draw(st.binary(max_size=100)) if where == "everything" else packed


def parse_idx(content, ndim):
    """The same by NumPy's means, from files that may be trusted; None of what is no such file."""
    try:
        idx = gzip.decompress(content)
    except (EOFError, OSError, zlib.error):
        return None
    if len(idx) < 4 + 4 * ndim or idx[:4] != bytes([0, 0, 8, ndim]):
        return None
    shape = [int(side) for side in np.frombuffer(idx[: 4 + 4 * ndim], ">u4")[1:]]
    # Beside a 0 such sizes promise nothing, but NumPy takes not all.
    if math.prod(max(side, 1) for side in shape) > 2**27:
        return None
    array = np.frombuffer(idx[4 + 4 * ndim :], np.uint8)
    return array.reshape(shape) if array.size == math.prod(shape) else None


@repeatable(600)
@given(st.sampled_from([1, 3]).flatmap(lambda ndim: st.tuples(st.just(ndim), idx_files(ndim))))
def test_an_idx_file_is_read_as_numpy_would_or_refused(folder, given):
    ndim, content = given
    path = folder / "x.gz"
    path.write_bytes(content)
    expected = parse_idx(content, ndim)
    try:
        found = read_idx(path, ndim)
    except UserError as error:
        assert_one_clear_line(error, path)
        assert expected is None
    else:
        np.testing.assert_array_equal(found, expected, strict=True)


PIXELS = np.arange(3 * 28 * 28, dtype=np.uint32).astype(np.uint8).reshape(3, 28, 28)
IMAGES = bytes([0, 0, 8, 3]) + np.array(PIXELS.shape, ">u4").tobytes() + PIXELS.tobytes()


@repeatable(150)
@given(damaged(IMAGES, most=1), st.integers(2, 4).flatmap(lambda count: idx_files(1, [count])))
def test_images_and_labels_fit_or_are_refused(folder, images, labels):
    (folder / "x-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, mtime=0))
    (folder / "x-labels-idx1-ubyte.gz").write_bytes(labels)
    try:
        images_IxHxW, labels_I = read_pair(folder, "x", labels=range(128))
    except UserError as error:
        assert_one_clear_line(error, folder / "x-")
    else:
        assert images_IxHxW.shape == (3, 28, 28)
        np.testing.assert_array_equal(images_IxHxW.ravel(), bytearray(images[16:]))
        np.testing.assert_array_equal(labels_I, parse_idx(labels, 1))
        assert labels_I.shape == (3,)
        assert labels_I.max() < 128


CONFIG = default()
DEFAULT = json.loads(CONFIG.to_json())
CONFIG.train.schedule = "one_cycle"  # with which train.steps counts
STORED = json.loads(CONFIG.to_json())
SECTIONS = sorted({field.rpartition(".")[0] for field in FIELDS} - {""})
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**31 - 1, 2**31, 10**400, -(10**400)])
WORDS = st.text(max_size=10) | st.sampled_from(["sum", "mnist", "gru", "train.steps", "\x1b[2J\n"])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS | st.sampled_from(["x" * 10_000, [1] * 5000]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def nested(levels, empty, wrap):
    for _ in range(levels):
        empty = wrap(empty)
    return empty


DEEP = st.booleans().map(  # made anew each time: the next change may be inside
    lambda lists: nested(400, [], lambda x: [x]) if lists else nested(400, {}, lambda x: {"a": x})
)


@st.composite
def configs(draw):
    """A stored config with some fields or sections removed, changed or added."""
    tree = json.loads(json.dumps(STORED))
    for _ in range(draw(st.integers(0, 3))):
        *sections, name = draw(st.sampled_from([*FIELDS, *SECTIONS])).split(".")
        holder = tree
        for section in sections:
            holder = holder.get(section) if isinstance(holder, dict) else None
        if not isinstance(holder, dict):
            continue
        value = draw(VALUES | DEEP)
        kind = draw(st.sampled_from(["change", "change", "near", "remove", "add", "dotted"]))
        if kind == "change":
            holder[name] = value
        elif kind == "near" and type(holder.get(name)) in (int, float):
            holder[name] = draw(NUMBERS | st.sampled_from([0, 0.5, 1, 2, 3, 64]))
        elif kind == "remove":
            holder.pop(name, None)
        elif kind == "add":
            holder[draw(WORDS | st.sampled_from(["items", "__class__", "_locked"]))] = value
        else:
            tree[".".join([*sections, name])] = value
    return tree


def values(tree, prefix=""):
    """Values by field."""
    if not isinstance(tree, dict):
        return {prefix[:-1]: tree}
    return {k: v for name in tree for k, v in values(tree[name], f"{prefix}{name}.").items()}


def of_training(tree):
    """Values by field, without what does not count; of missing fields the default's."""
    found = values(DEFAULT) | values(tree)
    return {name: value for name, value in found.items() if not name.startswith(NOT_OF_TRAINING)}


TEXTS = [
    "[" * 100_000,
    '{"a":' * 100_000,
    "9" * 5_000,
    '{"seed": ' + "9" * 5_000 + "}",
    json.dumps(STORED).replace('"seed": 0', '"seed": 1e400'),
    json.dumps(STORED).replace('"seed": 0', '"seed": NaN'),
    json.dumps(STORED)[:-1] + ', "seed": 0}',
    json.dumps({f"x{i}": i for i in range(10_000)}),
    json.dumps({"\n" * 1000: 1}),
    "\ufeff" + json.dumps(STORED),
    "[]",
    "null",
]


@pytest.mark.parametrize("name", ["config.json", "run.json", "results.json"])
@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_malicious_file_is_refused(name, text, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(STORED))
    (tmp_path / "run.json").write_text(json.dumps({"corpus": "mnist:0123"}))
    (tmp_path / name).write_text(text, encoding="utf-8")
    try:
        if name == "results.json":
            assert isinstance(read_json(tmp_path / name), dict)  # any object is read there
        else:
            stored_corpus(RunFolder(tmp_path), CONFIG)
            pytest.fail("it was taken")
    except UserError as error:
        assert_one_clear_line(error, tmp_path)


@repeatable(500)
@given(configs().map(lambda tree: json.dumps(tree).encode()).flatmap(lambda x: damaged(x, most=1)))
def test_a_stored_config_is_the_given_one_or_refused(folder, content):
    (folder / "config.json").write_bytes(content)
    (folder / "run.json").write_text('{"corpus": "mnist:0123"}')
    try:
        stored_corpus(RunFolder(folder), CONFIG)
    except UserError as error:
        assert_one_clear_line(error, folder)
        assert content != json.dumps(STORED).encode()
    else:
        assert of_training(json.loads(content)) == of_training(STORED)


@repeatable(500)
@given(configs())
@example({**STORED, "train": {**STORED["train"], "learning_rate": 10**400}})
def test_the_config_of_a_checkpoint_can_be_used_or_is_refused(tree):
    try:
        config = read_config(tree, "the config of the run in folder")
    except UserError as error:
        assert_one_clear_line(error, "the config of the run in folder")
        assert json.dumps(tree) != json.dumps(STORED)  # as 0 == False
        return
    assert values(json.loads(config.to_json())) == values(DEFAULT) | values(tree)
    with contextlib.suppress(UserError):  # fields that do not fit together
        crnn.build(config.model, tasks.build(config, known_info("mnist")).question)


@repeatable(100)
@given(st.dictionaries(st.sampled_from(["corpus", "numerics"]) | WORDS, VALUES, max_size=3))
@example({"corpus": "mnist:01"})
@example({"corpus": "mnist:01", "numerics": 5})
def test_the_corpus_of_a_run_is_a_name_or_refused(folder, tree):
    (folder / "config.json").write_text(json.dumps(STORED))
    (folder / "run.json").write_text(json.dumps(tree))
    try:
        found = stored_corpus(RunFolder(folder), CONFIG)
    except UserError as error:
        assert_one_clear_line(error, folder / "run.json")
        damaged = not isinstance(tree.get("numerics", {}), dict)
        assert damaged or not isinstance(tree.get("corpus"), str)
    else:
        assert found == tree["corpus"]


def picture_files():
    """One four on paper, in every form with all that a file can hold besides."""
    image = Image.new("L", (40, 48), 255)
    ImageDraw.Draw(image).line([(28, 42), (28, 5), (8, 30), (33, 30)], 0, 4, "curve")
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 3, "a four"
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "four")
    text.add_text("Comment", "4" * 1000, zip=True)
    also = {"exif": exif, "icc_profile": b"profile" * 20}
    forms = [
        ("PNG", "L", {"pnginfo": text, **also}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {"transparency": 0}),
        ("JPEG", "L", also),
        ("JPEG", "CMYK", {"progressive": True}),
        ("GIF", "L", {}),
        ("BMP", "RGB", {}),
        ("WEBP", "RGB", {"lossless": True, **also}),
        ("TIFF", "L", {}),
        ("TIFF", "L", {"compression": "tiff_lzw"}),
        ("TIFF", "RGB", {"compression": "jpeg"}),
        ("PPM", "L", {}),
    ]
    for form, mode, how in forms:
        file = io.BytesIO()
        image.convert(mode).save(file, form, **how)
        yield file.getvalue()


PICTURES = list(picture_files())


@repeatable(500)
@given(st.sampled_from(PICTURES).flatmap(damaged))
def test_a_picture_becomes_a_frame_or_is_refused(folder, capfd, content):
    path = folder / "x.png"
    path.write_bytes(content)
    try:
        frames = frames_of([path])
    except UserError as error:
        assert_one_clear_line(error, path)
        assert content not in PICTURES
    else:
        assert (frames.shape[1:], frames.dtype) == ((28, 28, 1), np.uint8)
        assert frames.max() > 0
    assert capfd.readouterr() == ("", "")  # nor do the libraries behind Pillow print anything


@repeatable(150)
@given(st.data())
def test_pixels_at_random_become_a_frame_or_are_refused(data):
    sides = st.integers(1, 12) | st.sampled_from([28, 500])
    height, width = data.draw(st.tuples(sides, sides))
    assume(height * width <= 5_000)
    values = data.draw(st.binary(min_size=height * width, max_size=height * width))
    picture = np.frombuffer(values, np.uint8).reshape(height, width)
    for pixels in (picture, np.where(picture > 250, 0, 255).astype(np.uint8)):
        try:
            assert frames_of([pixels]).shape == (1, 28, 28, 1)
        except UserError as error:
            assert_one_clear_line(error, "picture 1")


NOTHING = np.zeros(0)
HUGE = {
    "images": gzip.compress(idx_bytes(NOTHING, (2**31, 28, 28))),
    "within the limit": gzip.compress(idx_bytes(NOTHING, (160_000, 28, 28))),
    "overflow": gzip.compress(idx_bytes(NOTHING, (2**32 - 1,) * 3)),
    "bomb": gzip.compress(idx_bytes(np.zeros(2**25), (1, 28, 28))),
    "bombs": gzip.compress(idx_bytes(NOTHING, (1, 28, 28))) + gzip.compress(bytes(2**24)) * 4,
    "PNG": png_bytes(50_000, 50_000),
    "PNG below Pillow's limit": png_bytes(10_000, 10_000),
    "BMP": b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 50_000, 50_000, 1, 24, *[0] * 6),
    "GIF": b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b";",
    "GIF frame": b"GIF89a"
    + struct.pack("<HHBBB", 8, 8, 0, 0, 0)
    + b","
    + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0)
    + b"\x02\x00;",
    "PPM": b"P5 50000 50000 255\n",
}


@pytest.mark.parametrize("content", HUGE.values(), ids=HUGE)
def test_a_small_file_takes_little_memory_whatever_it_promises(content, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(content)
    assert len(content) < 100_000
    read = (lambda: read_idx(path, 3)) if content[:2] == b"\x1f\x8b" else lambda: frames_of([path])
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as error:
            read()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert_one_clear_line(error.value, path)
    assert peak < 4 * 2**20


def test_a_prepared_corpus_names_no_code_to_run(optdigits, data_dir, tmp_path, monkeypatch):
    """TFDS would import whatever module features.json names, if it went by that file."""
    copy = tmp_path / "data"
    shutil.copytree(data_dir, copy)
    (tmp_path / "named.py").write_text("raise SystemExit('was run')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (features,) = copy.rglob("optdigits/*/features.json")
    content = json.loads(features.read_text())
    features.write_text(json.dumps({**content, "pythonClassName": "named.Features"}))
    corpus = load_dataset("optdigits", data_dir=str(copy), manual_dir="", fallback=False)
    assert corpus.identity == optdigits.identity
    assert "named" not in sys.modules
