"""Reading pictures: what the network answers about their frames, in words and for JSON."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from crnn_jax import UserError
from crnn_jax.data.dataset import known_info
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.pictures import frames_of
from crnn_jax.predict import Predictor
from tests.networks import restored


@pytest.fixture
def make_predictor(tiny_config):
    """Makes a predictor of a network of random parameters."""

    def make(task="sum", head="marginal", length=4, corpus="optdigits"):
        tiny_config.model.convs = ()
        tiny_config.task.name, tiny_config.model.head = task, head
        tiny_config.task.max_length = length
        if head == "decoder":
            tiny_config.model.decoder_units = 8
            tiny_config.task.min_length = length
        return Predictor(restored(tiny_config, known_info(f"{corpus}:0123"), seed=2, scale=0.8))

    return make


@pytest.fixture
def images(optdigits):
    """Frames such as people's pictures become, and stay when they are read again."""
    frames_FxHxWxC = frames_of(list(optdigits.test.images_IxHxWxC[:5]))
    np.testing.assert_array_equal(frames_of(list(frames_FxHxWxC)), frames_FxHxWxC)
    return list(frames_FxHxWxC[..., 0])


def network_on(predictor, images):
    """What the network says about the images as one sequence."""
    network, params = predictor.restored.network, predictor.restored.params
    lanes = padded_lanes(np.array([len(images)]))
    return jax.jit(network.apply)(params, np.stack(images)[:, None, ..., None], lanes)


def parts(found, name):
    return [step[name] for step in found["steps"]]


def assert_refused(predictor, pictures, message):
    with pytest.raises(UserError, match=message) as error:
        predictor(pictures)
    assert "\n" not in str(error.value)


def test_one_picture_alone_is_a_sequence_of_one(make_predictor, images):
    predictor = make_predictor("sum", "last")
    assert predictor(images[0]) == predictor(images[:1])


def test_pages_are_pictures_of_their_own(make_predictor, images, tmp_path):
    predictor, pages = make_predictor(), [Image.fromarray(image) for image in images[:3]]
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    found = predictor.explain([tmp_path / "pages.tiff"], split=False, names=["pages.tiff"])
    assert found == predictor(images[:3])
    assert parts(found, "name") == ["after picture 1", "after picture 2", "after picture 3"]


def test_a_sum_is_answered_as_the_network_does(make_predictor, images):
    predictor = make_predictor()
    found = predictor(images[:3])
    probs_TxK = np.exp(network_on(predictor, images[:3]).log_probs_TxNxK[:, 0])
    assert parts(found, "answer") == [str(k) for k in probs_TxK.argmax(axis=1)]
    assert parts(found, "estimate") == pytest.approx(probs_TxK @ np.arange(37.0))
    assert parts(found, "confidence") == pytest.approx(probs_TxK.max(axis=1))
    assert len(set(parts(found, "estimate"))) == 3


@pytest.mark.parametrize(("task", "head"), [("sum", "marginal"), ("product", "last")])
def test_the_answer_is_that_after_the_last_picture(task, head, make_predictor, images):
    found = make_predictor(task, head)(images[:3])
    steps = found.pop("steps")
    assert steps[-1] == {"name": "after picture 3", **found}


@pytest.mark.parametrize(
    ("task", "length", "count", "message"),
    [
        ("sum", 4, 5, "^5 pictures are given: expected 1 to 4 for this network$"),
        ("addition", 4, 3, "^3 pictures are given: expected 4 for this network$"),
        ("caption", 1, 1, "^1 pictures are given: expected 8 for this network$"),
    ],
)
def test_as_many_pictures_as_the_network_takes(
    task, length, count, message, make_predictor, images
):
    head = "marginal" if task == "sum" else "decoder"
    assert_refused(make_predictor(task, head, length), images[:count], message)


@pytest.mark.parametrize(
    ("corpus", "names"), [("optdigits", "0123456789"), ("emnist/letters-a-j", "abcdefghij")]
)
def test_a_glyph_has_a_name_and_no_estimate(corpus, names, make_predictor, images):
    predictor = make_predictor("class", length=1, corpus=corpus)
    for image in images:
        found = predictor([image])
        (probs_K,) = np.exp(network_on(predictor, [image]).log_probs_TxNxK[:, 0])
        assert found["answer"] == names[probs_K.argmax()]
        assert found["confidence"] == pytest.approx(probs_K.max())
        assert found.keys() == {"answer", "confidence", "steps", "classes"}
        assert found["steps"][0].keys() == {"name", "answer", "confidence"}
        assert found["classes"][1]["class"] == names[np.argsort(-probs_K)[1]]


def test_a_head_that_gives_no_probabilities_gives_no_confidence(make_predictor, images):
    predictor = make_predictor(head="last")
    found = predictor(images[:2])
    value_T = np.asarray(network_on(predictor, images[:2]).value_TxN[:, 0])
    assert parts(found, "estimate") == pytest.approx(value_T)
    assert parts(found, "answer") == [str(round(float(value))) for value in value_T]
    assert found.keys() == {"answer", "estimate", "steps"}
    assert all(step.keys() == {"name", "answer", "estimate"} for step in found["steps"])


def test_a_written_sum_is_answered_from_the_left_and_written_from_the_right(make_predictor, images):
    predictor = make_predictor("addition", "decoder")
    found = predictor(images[:4])
    logits_SxV = np.asarray(network_on(predictor, images[:4]).logits_NxSxV, np.float64)[0]
    probs_SxV = np.exp(logits_SxV) / np.exp(logits_SxV).sum(axis=1, keepdims=True)
    symbols = [str(digit) for digit in logits_SxV.argmax(axis=1)]
    assert symbols != symbols[::-1]
    assert parts(found, "answer") == symbols
    assert found["answer"] == "".join(reversed(symbols))
    assert parts(found, "confidence") == pytest.approx(probs_SxV.max(axis=1))
    assert found["confidence"] == pytest.approx(np.prod(probs_SxV.max(axis=1)))
    assert "estimate" not in found


def test_a_row_is_cut_apart_and_read_like_single_pictures(make_predictor, images):
    predictor = make_predictor()
    larger = [np.where(image > 127, np.uint8(255), 0).repeat(3, 0).repeat(3, 1) for image in images]
    with_margins = [np.pad(image, 10) for image in larger[:3]]
    row = np.concatenate(with_margins, axis=1)
    frames_FxHxWxC = frames_of([row], split=True)
    np.testing.assert_array_equal(frames_FxHxWxC, frames_of(with_margins))
    found = predictor([row], split=True)
    assert len(found["steps"]) == 3
    assert found == predictor(list(frames_FxHxWxC))
    assert found != predictor(list(frames_FxHxWxC[::-1]))


def test_files_are_read_like_arrays(make_predictor, images, tmp_path):
    predictor = make_predictor()
    for i, image in enumerate(images[:2]):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    pictures = [tmp_path / "0.png", str(tmp_path / "1.png"), images[2]]
    assert predictor(pictures) == predictor(images[:3])


@pytest.mark.parametrize(
    ("task", "head"), [("sum", "marginal"), ("product", "last"), ("addition", "decoder")]
)
def test_json_holds_what_is_returned(task, head, make_predictor, images):
    found = make_predictor(task, head)(images[:4])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_clip_is_described_as_it_is(make_predictor):
    predictor = make_predictor("caption", "decoder", 1)
    clip = np.random.default_rng(0).integers(0, 256, (8, 40, 40), np.uint8)
    found = predictor(list(clip))
    (symbols_S,) = np.asarray(network_on(predictor, clip).logits_NxSxV).argmax(-1)
    words = predictor.restored.task.vocabulary
    assert parts(found, "answer") == [words[symbol] for symbol in symbols_S]
    np.testing.assert_array_equal(predictor.read(list(clip)).frames_LxHxWxC[..., 0], clip)


def test_after_a_warm_up_nothing_is_compiled(make_predictor, images):
    predictor = make_predictor()
    predictor.warm_up()
    compiled = predictor._ask._cache_size()
    for count in (1, 4):
        predictor(images[:count])
    assert predictor._ask._cache_size() == compiled == 1
