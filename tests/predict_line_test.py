"""Answers about pictures of lines: those of the network about the strips alone, of any width."""

import csv
import dataclasses
import json

import jax
import numpy as np
import pytest
from PIL import Image

from benchmarks.row_pictures import in_blue, row_of
from crnn_jax import UserError, predict
from crnn_jax.config import default
from crnn_jax.data.form import Form
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.pictures.line import read_line
from crnn_jax.predict import Predictor
from tests.networks import asking, restored
from tests.networks import digits as info
from tests.sequences import asking_for
from tests.sequences import dataset as lines


@pytest.fixture(scope="module")
def predictor():
    """Of a network of random parameters that reads rows of digits."""
    config = asking(default(), "line", "ctc")
    config.model.aggregator, config.model.gru_units = "bigru", (6,)
    return Predictor(restored(config, info(), scale=1.5))


@pytest.fixture(scope="module")
def photo(digits):
    """Makes a photo of a row of so many digits."""

    def make(count, seed=0):
        rng = np.random.default_rng(seed)
        chosen = np.uint8(np.where(digits[rng.integers(len(digits), size=count)] > 80, 255, 0))
        row = row_of(chosen, 4, rng).repeat(3, axis=0).repeat(3, axis=1)
        return in_blue(np.pad(row / 255, 40), rng)

    return make


def alone(predictor, strips_LxHxWxC):
    """The network's answers about a line with nothing behind it."""
    network, params = predictor.restored.network, predictor.restored.params
    lanes = padded_lanes(np.array([len(strips_LxHxWxC)]))
    apply = jax.jit(lambda frames: network.apply(params, frames, lanes).answers())
    return jax.device_get(apply(strips_LxHxWxC[:, None]))


@pytest.mark.parametrize("count", [2, 18])
def test_the_text_is_that_of_the_line_alone(count, predictor, photo):
    picture = photo(count)
    line = read_line(picture, (32, 4, 1), glyphs=True)
    expected = alone(predictor, line.strips_LxHxWxC)
    symbols = expected.answer[0][expected.answer[0] >= 0]
    found = predictor(picture)
    assert len(symbols) > 1
    assert found["answer"] == "".join(map(str, symbols))
    assert found["confidence"] == pytest.approx(expected.whole[0], rel=1e-3)
    sure = [step["confidence"] for step in found["steps"]]
    assert sure == pytest.approx(expected.confidence[0, : len(symbols)], rel=1e-4)
    assert json.loads(json.dumps(found)) == found
    places = [step["pixels"] for step in found["steps"]]
    for (first, last), (left, right) in zip(expected.steps[0], places, strict=False):
        assert left == pytest.approx(max(0, line.left + 4 * first * line.pixel), abs=0.51)
        right_edge = min(line.left + 4 * (last + 1) * line.pixel, picture.shape[1])
        assert right == pytest.approx(right_edge, abs=0.51)
    assert places == sorted(places)


def test_a_stored_line_may_be_longer_than_any_in_training(tmp_path):
    config = asking_for(default(), "line")
    config.model.aggregator = "bigru"
    info = dataclasses.replace(lines("line").info, form=Form(8, 0, 1, max_frames=30, strip=2))
    predictor = Predictor(restored(config, info, scale=0.8))
    assert (predictor.stored, info.longest) == (True, 7)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 4000), np.uint8)
    expected = alone(predictor, pixels.reshape(8, 2000, 2, 1).swapaxes(0, 1))
    symbols = expected.answer[0][expected.answer[0] >= 0]
    found = predictor(pixels)
    assert len(symbols) > 50
    assert found["answer"] == "".join("abc"[s] for s in symbols)
    first = 2 * expected.steps[0, : len(symbols), 0]
    assert [step["pixels"][0] for step in found["steps"]] == first.tolist()
    Image.fromarray(pixels.repeat(2, 0).repeat(2, 1)).save(tmp_path / "a.png")
    assert predictor(tmp_path / "a.png")["steps"][-1]["pixels"][1] <= 8000


def test_lines_are_filled_up_to_few_widths(predictor, photo):
    widths = [len(predictor.read(photo(count)).frames_LxHxWxC) for count in (1, 2, 7, 18, 20)]
    assert len(set(widths)) == 5
    assert {predictor._steps(width) for width in widths} == {64, 128}
    assert [predictor._steps(width) for width in (64, 65, 129, 2000)] == [64, 128, 256, 2048]


def test_one_picture_is_one_line(predictor, photo, tmp_path):
    picture = photo(2)
    image = Image.fromarray(picture)
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "two.tif", save_all=True, append_images=[image])
    expected = predictor(picture)
    for form in ([picture], image, tmp_path / "a.png", [str(tmp_path / "a.png")]):
        assert predictor(form) == expected
    for given, found in [
        ([picture, picture], "2 pictures"),
        ([], "0 pictures"),
        (tmp_path / "two.tif", "2 or more pages"),
    ]:
        with pytest.raises(UserError, match=f"^found {found}, expected one .* --each"):
            predictor(given)
    with pytest.raises(UserError, match=r"split is for .* reads a line whole, leave split out"):
        predictor(picture, split=True)


def test_whole_pictures_are_lines_where_no_ink_is_to_be_found():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 90, 3), np.uint8)
    line = read_line(pixels, (10, 2, 3), glyphs=False)
    assert line.strips_LxHxWxC.shape == (23, 10, 2, 3)
    assert (line.left, line.pixel, line.width) == (0, 2, 90)
    assert line.columns([0, 20, 46]) == [0, 40, 90]


def test_of_whole_pictures_those_with_lines_below_each_other_are_refused():
    def page(*lines):
        page = np.full((90, 200), 230, np.uint8)
        for top, height, dots in lines:
            page[top : top + height, 20:180:2] = 20
            page[top - 4 * dots : top - 2 * dots, 40:180:20] = 20
        return page

    dotted = page((10, 20, True), (50, 16, True))
    for picture in (dotted, 255 - dotted):
        with pytest.raises(UserError, match=r"picture 1: found 2 lines of ink .* cut it out"):
            read_line(picture, (32, 4, 1), glyphs=False)
    for line in (page((30, 30, True)), page((30, 30, False), (70, 2, False)), page()):
        assert len(read_line(line, (32, 4, 1), glyphs=False).strips_LxHxWxC) == 18


def test_each_picture_of_a_folder_is_a_line(predictor, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(predict, "restore", lambda *_: predictor.restored)
    monkeypatch.setattr(predict, "Predictor", lambda _: predictor)
    (tmp_path / "lines").mkdir()
    pictures = {"2.png": photo(2), "10.png": photo(3), "blank.png": np.zeros((50, 90), np.uint8)}
    for name, picture in pictures.items():
        Image.fromarray(picture).save(tmp_path / "lines" / name)
    paths, options = [tmp_path / "lines"], {"as_json": True, "each": True}
    table, figure = (str(tmp_path / name) for name in ("a.csv", "a.png"))
    with pytest.raises(UserError, match="1 of 3 files have no answer"):
        predict.predict(tmp_path, paths, table=table, figure=figure, **options)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for one, (name, picture) in zip(found, list(pictures.items())[:2], strict=False):
        assert one == {"file": str(tmp_path / "lines" / name), **predictor(picture)}
    assert "no ink" in found[2]["error"]
    with open(table, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["answer"] for row in rows] == [one["answer"] for one in found[:2]]
    with pytest.raises(UserError, match=r"^found 3 pictures, .* --each"):
        predict.predict(tmp_path, paths)


def test_a_line_is_drawn_whole_with_its_symbols_below(predictor, photo):
    frames = predictor.read(photo(2))
    found = predictor.answer(frames)
    strip = predict.shown.answer("a.png", found, frames, per_frame=predictor.per_frame).strip
    written = [note.text for note in strip.account.notes if note.text]
    assert "".join(written) == found["answer"]
    steps = alone(predictor, frames.frames_LxHxWxC).steps[0]
    for symbol, (first, last) in zip(written, steps, strict=False):
        assert symbol in [note.text for note in strip.account.notes[first : last + 1]]
    (axes,) = predict.shown.draw_strips([strip], "a title").axes
    (image,) = axes.images
    whole = np.concatenate(list(frames.frames_LxHxWxC), axis=1)[..., 0]
    np.testing.assert_array_equal(np.asarray(image.get_array()), whole)
    left, right, bottom, top = image.get_extent()
    assert (right - left) / (bottom - top) == pytest.approx(whole.shape[1] / whole.shape[0])
