"""Answers about clips: those of the network, whatever a clip comes as and however long it is."""

import functools

import jax
import numpy as np
import pytest
from PIL import Image

from crnn_jax import UserError
from crnn_jax.data.lanes import padded_lanes
from tests.networks import LONGEST, clip_predictor
from tests.own_clips import images, noise, write_animation, write_folder


@pytest.fixture
def make_predictor(tiny_config):
    """Makes a predictor on clips, of a network of random parameters."""
    return functools.partial(clip_predictor, tiny_config)


def alone(predictor, clip):
    """The network's output about a clip with nothing behind it."""
    network, params = predictor.restored.network, predictor.restored.params
    return jax.jit(network.apply)(params, clip[:, None], padded_lanes(np.array([len(clip)])))


@pytest.mark.parametrize("aggregator", ["gru", "bigru"])
@pytest.mark.parametrize("length", [1, 3, LONGEST, LONGEST + 2])
def test_a_class_is_that_of_the_clip_alone(length, aggregator, make_predictor):
    predictor, clip = make_predictor(aggregator=aggregator), noise(length, seed=length)
    probs = np.asarray(alone(predictor, clip).probs_TxNxK)[-1, 0]
    found = predictor(clip)
    best = np.argsort(-probs)[:5]
    assert [x["class"] for x in found["classes"]] == ["abcdefg"[k] for k in best]
    expected = pytest.approx(probs[best], abs=1e-5)
    assert [x["probability"] for x in found["classes"]] == expected
    assert found["answer"] == "abcdefg"[best[0]]
    assert found["confidence"] == pytest.approx(probs[best[0]], abs=1e-5)


@pytest.mark.parametrize("length", [1, 3, LONGEST + 3])
def test_numbers_of_frames_are_those_of_the_clip_alone(length, make_predictor):
    predictor, clip = make_predictor("numbers", aggregator="bigru"), noise(length, seed=length)
    values = np.asarray(alone(predictor, clip).value_TxN)[:, 0]
    found = predictor(clip)
    assert [x["estimate"] for x in found["steps"]] == pytest.approx(values, rel=1e-4)
    assert [x["name"] for x in found["steps"]] == [f"frame {i + 1}" for i in range(length)]
    assert found["answer"] == f"largest at frame {values.argmax() + 1}"


def test_a_number_is_that_of_the_clip_alone(make_predictor):
    predictor, clip = make_predictor("number"), noise(3)
    found = predictor(clip)
    value = float(alone(predictor, clip).value_TxN[-1, 0])
    assert found["estimate"] == pytest.approx(value, rel=1e-4)
    assert found["steps"] == []


def test_a_text_is_that_of_the_clip_alone(make_predictor):
    predictor, clip = make_predictor("text"), noise(LONGEST, seed=2)
    written = np.asarray(alone(predictor, clip).logits_NxSxV)[0].argmax(axis=1).tolist()
    written = written[: written.index(2)] if 2 in written else written
    found = predictor(clip)
    assert found["answer"] == " ".join("xy"[k] for k in written)
    assert [x["answer"] for x in found["steps"]] == ["xy"[k] for k in written]
    with pytest.raises(UserError, match="5 frames: expected at most 4, as in training"):
        predictor(noise(5))


def test_hardly_anything_is_compiled_twice(make_predictor):
    predictor = make_predictor()
    for length in (1, 2, 3, LONGEST):
        predictor(noise(length))
    assert predictor._ask._cache_size() == 1
    for length in (LONGEST + 1, 2 * LONGEST):
        predictor(noise(length))
    assert predictor._ask._cache_size() == 2


def test_a_clip_is_the_same_in_every_form(make_predictor, tmp_path):
    predictor, clip = make_predictor(), noise(3)
    expected = predictor(clip)
    files = write_folder(tmp_path / "frames", clip)
    forms = {
        "grey": clip[..., 0],
        "a list": list(clip),
        "images": images(clip),
        "a folder": tmp_path / "frames",
        "files": [str(file) for file in files],
        "files and arrays": [files[0], *clip[1:]],
        "an animation": write_animation(tmp_path / "clip.gif", clip)[0],
        "RGB": np.repeat(clip, 3, axis=3),
    }
    for form, given in forms.items():
        assert predictor(given) == expected, form
    assert predictor(clip[::-1]) != expected


@pytest.mark.parametrize(
    ("form", "numbers"), [({"stride": 2}, [1, 3, 5]), ({"frames": 3}, [1, 3, 6])]
)
def test_frames_are_chosen_as_for_training(form, numbers, make_predictor, tmp_path):
    predictor, clip = make_predictor("numbers", **form), noise(6)
    write_folder(tmp_path / "frames", clip)
    found = predictor(clip)
    assert found == predictor(tmp_path / "frames")
    assert [x["name"] for x in found["steps"]] == [f"frame {i}" for i in numbers]
    seen = predictor.read(clip)
    np.testing.assert_array_equal(seen.frames_LxHxWxC, clip[[i - 1 for i in numbers]])


def test_a_clip_that_is_too_long_is_cut_as_for_training(make_predictor):
    predictor, clip = make_predictor(max_frames=3), noise(5)
    assert predictor(clip) == predictor(clip[:3])
    assert predictor.read(clip).cut
    assert not predictor.read(clip[:3]).cut


def test_other_sizes_are_fitted_as_for_training(make_predictor):
    wide = noise(1, 20, 40)[0]
    (seen,) = make_predictor(fit="pad").read(wide).frames_LxHxWxC
    assert seen[[0, 1, -2, -1]].max() == 0
    assert seen[3:-3].min(axis=(1, 2)).max() > 0
    with pytest.raises(UserError, match=r"frame 1: 40 × 20 pixels .* expected 12 × 10"):
        make_predictor()(wide)


def test_composed_sequences_of_ones_own_images_have_that_form_too(make_predictor):
    predictor = make_predictor("label", longest=1, stride=3)
    pictures = list(noise(3))
    seen = predictor.read(pictures).frames_LxHxWxC
    np.testing.assert_array_equal(seen, pictures)
    assert [x["name"] for x in predictor(pictures)["steps"]] == [
        "after picture 1",
        "after picture 2",
        "after picture 3",
    ]


def test_what_is_no_clip_is_one_line(make_predictor, tmp_path):
    predictor = make_predictor()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"no video")
    Image.new("L", (12, 10)).save(tmp_path / "c.png")
    cases = [
        ([tmp_path / "a.mp4", tmp_path / "b.mp4"], "a.mp4: a clip of its own .* add --each"),
        (tmp_path / "a.mp4", "a.mp4: cannot be read"),
        (tmp_path / "none.mp4", "none.mp4: not found, expected a video"),
        (tmp_path / "none.png", "none.png: not found"),
        ([tmp_path, tmp_path / "c.png"], "a clip of its own .* add --each"),
        ([], "found 0 frames"),
        (np.zeros((0, 10, 12, 1), np.uint8), "found 0 frames"),
        (np.zeros((2, 10, 12, 2), np.uint8), "frame 1: "),
    ]
    for given, message in cases:
        with pytest.raises(UserError, match=message) as error:
            predictor(given)
        assert "\n" not in str(error.value)
    (tmp_path / "c.png").unlink()
    with pytest.raises(UserError, match=r"found no pictures in it, .* add --each"):
        predictor(tmp_path)
    with pytest.raises(UserError, match="split needs a network that reads glyphs"):
        predictor(noise(1), split=True)


def test_a_network_of_single_images_takes_one(make_predictor):
    predictor = make_predictor(longest=1, aggregator="gru")
    assert predictor(noise(1)) == predictor(noise(1)[0])
    with pytest.raises(UserError, match=r"2 pictures are given: expected 1, .* add --each"):
        predictor(noise(2))
