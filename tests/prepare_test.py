import os
import subprocess
import sys
import time

import numpy as np
import pytest

from crnn_jax import UserError, config
from crnn_jax.data import decoding
from crnn_jax.data.form import Form
from crnn_jax.data.frames import read_clip
from crnn_jax.data.prepare import load_own
from crnn_jax.data.sources.listing import Problem
from tests.own_clips import (
    listing,
    many,
    noise,
    prepared,
    write_animation,
    write_folder,
    write_video,
)

PARTS = ("train", "train", "validation", "test", "train")
CLIPS = [noise(3 + i, seed=i) for i in range(len(PARTS))]


def written(folder, kind="gif"):
    """The clips as files or folders of PNG, with a class each."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, (frames, part) in enumerate(zip(CLIPS, PARTS, strict=True)):
        if kind == "png":
            source = write_folder(folder / f"{i}", frames)
        else:
            source = write_animation(folder / f"{i}.{kind}", frames)
        yield f"{i}.{kind}", source, "ab"[i % 2], part


def test_the_same_clips_in_every_form_are_the_same_data_set(tmp_path):
    found = [
        prepared(listing(written(tmp_path / kind, kind)), tmp_path / "data")
        for kind in ("png", "gif", "webp", "tiff")
    ]
    for one in found:
        assert one.info == found[0].info
        for part, stored in one.parts.items():
            expected = [frames for frames, p in zip(CLIPS, PARTS, strict=True) if p == part]
            for frames, right in zip(stored.read(range(len(stored))), expected, strict=True):
                np.testing.assert_array_equal(frames, right, strict=True)
            np.testing.assert_array_equal(stored.lengths_B, [*map(len, expected)])
    info, train = found[0].info, found[0].parts["train"]
    assert info.form == Form(10, 12, 1)
    assert (info.frame_shape, info.classes, info.counts) == ((10, 12, 1), ("a", "b"), (2, 1))
    assert (info.longest, info.glyphs, info.name) == (7, False, "made/clips")
    np.testing.assert_array_equal(train.answers, np.array([0, 1, 0], np.int32), strict=True)
    assert found[0].parts["test"].names == ("3.png",)


def test_the_identity_tells_answers_frames_parts_and_order_apart(tmp_path):
    clips = list(written(tmp_path / "clips"))
    a, b = clips[0], clips[1]
    changed = [
        clips,
        [(*a[:2], "b", a[3]), *clips[1:]],
        [(a[0], b[1], *a[2:]), (b[0], a[1], *b[2:]), *clips[2:]],
        [(*a[:3], "test"), *clips[1:]],
        [b, a, *clips[2:]],
        clips[1:],
        clips[:4],
        [clips[0], (*clips[1][:3], "validation"), *clips[2:4]],
    ]
    found = [prepared(listing(c), tmp_path / "data").info.identity for c in changed]
    assert len({*found}) == len(changed)
    renamed = [(f"new {name}", *rest) for name, *rest in clips]
    assert prepared(listing(renamed), tmp_path / "data").info.identity == found[0]


def test_a_changed_file_is_prepared_anew_and_an_unchanged_one_is_not(tmp_path, monkeypatch):
    clips = list(written(tmp_path / "clips"))
    before = prepared(listing(clips), tmp_path / "data")
    calls = []
    decode = decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda shard: calls.append(shard) or decode(shard))
    assert prepared(listing(clips), tmp_path / "data").info == before.info
    assert not calls
    write_animation(tmp_path / "clips" / "0.gif", noise(9))
    after = prepared(listing(clips), tmp_path / "data")
    assert calls
    assert after.info.identity != before.info.identity
    assert after.info.longest == 9
    assert prepared(listing(clips), tmp_path / "data", frames=2).info.longest == 2


def test_answers(tmp_path):
    clips = list(written(tmp_path / "clips"))
    numbers = [
        (*clip[:2], np.arange(len(frames), dtype=np.float32) + 10 * i, clip[3])
        for i, (clip, frames) in enumerate(zip(clips, CLIPS, strict=True))
    ]
    found = prepared(listing(numbers, "numbers", ()), tmp_path / "data", stride=2)
    train = np.array([0, 2, 10, 12, 40, 42, 44, 46], np.float32)
    np.testing.assert_array_equal(found.parts["train"].answers, train, strict=True)
    assert (found.info.mean, found.info.deviation) == (train.mean(), pytest.approx(train.std()))

    same = [(*clip[:2], 2.5, clip[3]) for clip in clips]
    found = prepared(listing(same, "number", ()), tmp_path / "data")
    assert (found.info.mean, found.info.deviation, found.info.counts) == (2.5, 1.0, ())
    assert found.parts["train"].answers.dtype == np.float32

    texts = ["a cat runs", "é cat", "no such word", "b", "c"]
    written_ = [(*clip[:2], text, clip[3]) for clip, text in zip(clips, texts, strict=True)]
    words = prepared(listing(written_, "text", ()), tmp_path / "data")
    assert words.info.vocabulary == ("a", "c", "cat", "runs", "é", "END")
    assert (words.info.symbols, list(words.parts["train"].answers)) == (4, [*texts[:2], "c"])
    ends = [*written_[1:], (*clips[0][:2], "THE END", "train")]
    with pytest.raises(UserError, match="the word END"):
        prepared(listing(ends, "text", ()), tmp_path / "data")
    letters = prepared(listing(written_, "text", ()), tmp_path / "data", unit="characters")
    assert letters.info.vocabulary == (*" acnrstué", "END")
    assert letters.info.symbols == 11


def test_colour_is_found_wherever_it_comes(tmp_path):
    clips = list(written(tmp_path / "clips"))
    coloured = noise(3, channels=3, seed=9)
    for last in (write_folder(tmp_path / "colour", coloured), clips[0][1]):
        found = prepared(listing([*clips[1:], ("c", last, "a", "train")]), tmp_path / "data")
        channels = 3 if last is not clips[0][1] else 1
        assert found.info.frame_shape == (10, 12, channels)
        (frames,) = found.parts["train"].read([len(found.parts["train"]) - 1])
        np.testing.assert_array_equal(frames, coloured if channels == 3 else CLIPS[0])
    found = prepared(listing(clips), tmp_path / "data", channels=3)
    np.testing.assert_array_equal(found.parts["test"].frames(), np.repeat(CLIPS[3], 3, -1))


def test_grey_that_compression_has_tinted_is_read_as_grey(tmp_path):
    tinted = np.repeat(noise(3), 3, -1) // 2 + noise(3, channels=3, seed=1) // 64
    source = write_folder(tmp_path / "tinted", tinted)
    clips = [*written(tmp_path / "clips"), ("tinted", source, "a", "test")]
    found = prepared(listing(clips), tmp_path / "data").parts["test"].read([1])[0]
    np.testing.assert_array_equal(found, read_clip(source, Form(10, 12, 1)), strict=True)


def test_problems_are_found_all_at_once_and_training_is_refused(tmp_path):
    clips = list(written(tmp_path / "clips"))
    broken, text = tmp_path / "broken.mp4", tmp_path / "text.png"
    broken.write_bytes(write_video(tmp_path / "whole.mp4", noise(5, 32, 48))[0].read_bytes()[:500])
    text.write_text("no picture")
    bad = [
        *clips,
        ("broken.mp4", (broken,), "a", "train"),
        ("text.png", (text,), "a", "train"),
        ("small", write_folder(tmp_path / "small", noise(3, 9, 12)), "a", "train"),
        ("copy", clips[0][1], "a", "test"),
        ("other answer", clips[1][1], "a", "train"),
        ("long", write_animation(tmp_path / "long.gif", noise(30, seed=50)), "a", "train"),
    ]
    found = prepared(listing(bad), tmp_path / "data", refuse=False, max_frames=20)
    expected = [
        ("broken.mp4", "cannot be read", True),
        ("text.png", "cannot be read", True),
        ("small", "0.png: 12 × 9 pixels", True),
        ("copy", "the same frames in test as 0.gif in train", True),
        ("other answer", "the same frames as 1.gif, another answer", False),
        ("long", "has more frames than --config.data.max_frames: the first 20", False),
    ]
    for problem, (name, what, fatal) in zip(found.problems, expected, strict=True):
        assert (problem.name, problem.fatal) == (name, fatal)
        assert problem.what.startswith(what), problem
    assert found.parts["train"].names == ("0.gif", "1.gif", "4.gif", "other answer", "long")
    np.testing.assert_array_equal(found.parts["test"].read([1])[0], CLIPS[0])
    for data_dir in (tmp_path / "data", tmp_path / "fresh"):
        with pytest.raises(UserError, match=r"^broken\.mp4: cannot be read .*and 3 more") as error:
            prepared(listing(bad), data_dir, max_frames=20)
        assert "--mode=data" in str(error.value)

    good = [bad[i] for i in (0, 1, 2, 3, 4, 9, 10)]
    assert not any(p.fatal for p in prepared(listing(good), tmp_path / "data").problems)
    kept = list((tmp_path / "data" / "sequences" / "made_clips").iterdir())
    assert len(kept) == 1, "what was refused is kept though it was put right"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda clips: [], "made/clips: no clips"),
        (lambda clips: [c for c in clips if c[3] != "test"], "made/clips: no clip for test"),
        (lambda clips: [(c[0], (c[1][0] / "x",), *c[2:]) for c in clips], r".*0\.gif/x: not found"),
    ],
)
def test_data_sets_that_cannot_be_trained_on(tmp_path, change, message):
    clips = change(list(written(tmp_path / "clips")))
    with pytest.raises(UserError, match=f"^{message}"):
        prepared(listing(clips), tmp_path / "data", validation=0.0, test=0.0)


def test_a_problem_of_the_listing_is_said_before_any_clip_is_decoded(tmp_path):
    found = listing(written(tmp_path / "clips"), problems=[Problem("row 3", "no such file", True)])
    with pytest.raises(UserError, match=r"^row 3: no such file; see all by --mode=data"):
        prepared(found, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_numbers_must_be_as_many_as_frames(tmp_path):
    clips = [(n, s, np.zeros(3, np.float32), part) for n, s, _, part in written(tmp_path / "clips")]
    with pytest.raises(UserError, match=r"^1\.gif: 3 numbers, expected one for each of 4 frames"):
        prepared(listing(clips, "numbers", ()), tmp_path / "data", max_frames=1)


def test_a_folder_for_prepared_data_that_cannot_be_used(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be used .*--config\.data\.data_dir=FOLDER"):
        prepared(listing(written(tmp_path / "clips")), tmp_path / "file")


SCRIPT = """
import sys
from pathlib import Path
from crnn_jax.data import prepare
from tests.own_clips import listing, many, prepared

if __name__ == "__main__":
    prepare.SMALL = 0  # so that other processes decode
    found = prepared(listing(many(Path(sys.argv[1]))), sys.argv[2])
    print(found.info.identity)
"""


def test_a_killed_preparation_goes_on_and_two_at_once_prepare_once(tmp_path, project):
    alone = prepared(listing(many(tmp_path / "clips")), tmp_path / "alone").info.identity
    data, script = tmp_path / "data", tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, tmp_path / "clips", data]
    environment = {**os.environ, "PYTHONPATH": str(project)}

    def whole():
        files = data.glob("sequences/made_clips/*.part/sequences-*.array_record-?????-of-?????")
        return {path: path.stat().st_mtime_ns for path in files}

    process = subprocess.Popen(command, env=environment)
    while len(whole()) < 3:
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    before = whole()
    assert 3 <= len(before) < 21, "killed too late"
    assert not list(data.glob("sequences/made_clips/*/index.npz"))

    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0].split()[0] for process in both] == [alone, alone]
    (folder,) = (data / "sequences" / "made_clips").iterdir()
    for path, time_of_change in before.items():
        assert (folder / path.name).stat().st_mtime_ns == time_of_change, "made twice"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        path.name for path in next((tmp_path / "alone").rglob("index.npz")).parent.iterdir()
    }


def test_processes_that_decode_import_no_jax():
    code = "import sys, crnn_jax.data.decoding; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_load_own(tmp_path):
    for name in "ab":
        for i in range(12):
            (tmp_path / "clips" / name).mkdir(parents=True, exist_ok=True)
            frames = noise(2 + i % 3, seed=i + 50 * (name == "b"))
            write_animation(tmp_path / "clips" / name / f"{name}{i}.gif", frames)
    c = config.default()
    c.data.update(path=str(tmp_path / "clips"), data_dir=str(tmp_path), validation=0.3, test=0.3)
    found = load_own(c, "class")
    assert found.info.classes == ("a", "b")
    assert sum(map(len, (found.train, found.validation, found.test))) == 24
    assert found.identity == load_own(c, "class").identity
