import csv
import json

import av
import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image, ImageColor

from crnn_jax import exit_status
from crnn_jax.config import default
from crnn_jax.data import clips
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.data.prepare import load_own
from tools import make_clips


def frames_of(path):
    """Frames LxHxWx3 of what was written, read without this project."""
    if path.is_dir():
        files = sorted(path.iterdir(), key=lambda file: int(file.stem))
        return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    if path.suffix in (".gif", ".webp"):
        with Image.open(path) as file:
            shown = []
            for i in range(file.n_frames):
                file.seek(i)
                shown.append(np.asarray(file.convert("RGB")))
            return np.stack(shown)
    with av.open(path) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def rows_of(folder):
    """Paths and answers of labels.csv; all that was made is named there."""
    with open(folder / "labels.csv", encoding="utf-8", newline="") as file:
        rows = [(folder / row["path"], row["answer"]) for row in csv.DictReader(file)]
    assert {path for path, _ in rows} == set((folder / "clips").iterdir())
    return rows


@pytest.fixture
def make(tmp_path, optdigits, monkeypatch):
    """Makes 8x8 digits into data of some kind, in a folder."""
    monkeypatch.setattr(make_clips, "load_dataset", lambda *_, **__: optdigits)

    def make(kind, *options, name="made"):
        make_clips.main([kind, str(tmp_path / name), "--count=12", *options])
        assert name in [path.name for path in tmp_path.iterdir()]
        assert not list(tmp_path.glob("*.unfinished"))
        return tmp_path / name

    return make


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (130, 28, 28, 3), np.uint8)


def test_clips_are_those_of_captions_to_the_last_bit(images):
    count = 130  # more than are filmed at once
    found = list(make_clips.clips_of(images, np.arange(130), 3, count))
    shown_N = np.array([label for _, label, _ in found])
    assert sorted(shown_N) == list(range(130))  # each image once
    keys_N = jax.random.split(jax.random.key(3), count)
    lanes = padded_lanes(np.ones(count, int))

    @jax.jit
    def render(images, keys):
        return clips.Clips().render(images, np.zeros((1, count), int), lanes, keys)[:2]

    frames_TxNxHxWxC, captions_N = render(images[shown_N][None], keys_N)
    expected_NxTxHxWxC = np.asarray(frames_TxNxHxWxC).swapaxes(0, 1)
    for clip, frames, caption in zip(found, expected_NxTxHxWxC, captions_N, strict=True):
        np.testing.assert_array_equal(clip[0], frames)
        assert clip[2] == clips.SCENES[caption]


def test_clips_of_any_length_do_the_same_from_beginning_to_end(images):
    of_8 = list(make_clips.clips_of(images, np.arange(130), 0, 20))
    others = list(make_clips.clips_of(images, np.arange(130), 0, 20, range(5, 61, 5)))
    assert len({len(frames) for frames, _, _ in others}) > 5
    for (short, *told), (frames, *expected) in zip(of_8, others, strict=True):
        assert told == expected
        assert 5 <= len(frames) <= 60
        np.testing.assert_allclose(frames[[0, -1]], short[[0, -1]].astype(float), atol=1)


@pytest.mark.parametrize("form", ["png", "webp", "gif", "mp4", "avi"])
def test_a_file_has_the_frames_that_were_written(form, tmp_path):
    (frames, _, _), *_ = make_clips.clips_of(np.full((1, 20, 20, 1), 255, np.uint8), [0], 0, 1)
    frames = frames[[0, 1, 1, 1, *range(2, 8), 7, 7]]  # some are equal to those before
    path = make_clips.write_clip(tmp_path / "clip", frames, form)
    assert path.name == ("clip" if form == "png" else f"clip.{form}")
    found = frames_of(path)
    assert found.shape == (12, clips.SIZE, clips.SIZE, 3)
    difference = np.abs(found - frames.astype(float))
    assert (difference.mean() < 3) if form in ("mp4", "avi") else not difference.any()


@pytest.mark.parametrize("form", ["png", "webp"])
def test_colours_are_kept(form, images, tmp_path):
    path = make_clips.write_clip(tmp_path / "clip", images[:4], form)
    np.testing.assert_array_equal(frames_of(path), images[:4])


def test_motions_stand_in_folders_of_their_class(make):
    found = sorted(make("motions", "--frames=5-9").glob("*/*.mp4"))
    assert len(found) == 12
    assert {path.parent.name.replace("_", " ") for path in found} <= set(clips.SCENES)
    assert {len(frames_of(path)) for path in found} <= set(range(5, 10))


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The clips of folders, as TFDS prepares them."""

    name = "motions"
    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, data_dir, folder):
        self.folder = folder
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self):
        frame = tfds.features.Image(shape=(clips.SIZE, clips.SIZE, 1))
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "video": tfds.features.Sequence(frame),
                    "label": tfds.features.ClassLabel(
                        names=[x.name for x in self.folder.iterdir()]
                    ),
                    "name": tfds.features.Text(),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"everything": self._generate_examples()}

    def _generate_examples(self):
        for clip in self.folder.glob("*/*"):
            frames = sorted(clip.iterdir(), key=lambda file: int(file.stem))
            name = f"{clip.parent.name}/{clip.name}"
            example = {"video": list(map(str, frames)), "label": clip.parent.name, "name": name}
            yield name, example


def test_the_same_clips_are_the_same_data_set_in_every_form(make, tmp_path):
    forms = ("png", "webp", "gif")
    paths = [make("motions", f"--form={form}", "--count=60", name=form) for form in forms]
    builder = Builder(tmp_path / "tfds", paths[0])
    builder.download_and_prepare()
    found = []
    for path in (*paths, builder.data_path):
        c = default()
        c.data.path, c.data.data_dir = str(path), str(tmp_path / "prepared")
        found.append(load_own(c, "class"))
    assert sum(len(found[0].train.read([i])[0]) for i in range(5)) == 5 * clips.FRAMES
    for other in found[1:]:
        assert other.identity == found[0].identity
        assert other.info.classes == found[0].info.classes
        for part in ("train", "validation", "test"):
            ours, theirs = getattr(found[0], part), getattr(other, part)
            np.testing.assert_array_equal(theirs.answers, ours.answers)
            np.testing.assert_array_equal(theirs.frames(), ours.frames())


def test_captions_tell_the_colour_and_the_digit_and_what_it_does(make, optdigits):
    rows = rows_of(make("captions", "--form=webp"))
    labels = [clip[1] for clip in make_clips.clips_of(*optdigits.train, 1, len(rows))]
    for (path, caption), label in zip(rows, labels, strict=True):
        colour, digit, scene = caption.removeprefix("the ").replace(" digit ", " ").split(" ", 2)
        assert (digit, scene in clips.SCENES) == (clips.NUMERALS[label], True)
        found = frames_of(path).max(axis=(0, 1, 2)).astype(float)
        np.testing.assert_allclose(
            found / found.max(), np.sign(ImageColor.getrgb(colour)), atol=0.1
        )


def test_speeds_are_those_of_what_is_seen():
    spot = np.exp(-np.square(np.mgrid[-13.5:14.5, -13.5:14.5]).sum(axis=0) / 20)
    spots = np.array(255 * spot[None, ..., None], np.uint8)
    for frames, speed in make_clips.speeds_of(spots, 0, 5, range(30, 41)):
        assert len(speed) == len(frames) in range(30, 41)
        ink_LxHxW, speed_L = frames[..., 0].astype(float), np.array(speed)
        middle_2xL = np.einsum("lyx,cyx->cl", ink_LxHxW, np.mgrid[:40, :40]) / ink_LxHxW.sum((1, 2))
        moved = np.linalg.norm(np.diff(middle_2xL), axis=0)
        np.testing.assert_allclose(moved, (speed_L[1:] + speed_L[:-1]) / 2, atol=0.1)


def test_a_list_has_a_speed_for_every_frame(make):
    for path, answer in rows_of(make("speeds", "--frames=5-9")):
        assert len(json.loads(answer)) == len(frames_of(path))


def test_clothes_are_in_colour_and_of_all_sizes(make):
    files = sorted(make("clothes").glob("*/*.png"))
    assert {path.parent.name for path in files} == set(make_clips.CLOTHES)
    pictures = [Image.open(path) for path in files]
    assert {picture.mode for picture in pictures} == {"RGB"}
    assert len({picture.size for picture in pictures}) == len(pictures) == 12
    for picture in pictures:
        assert np.asarray(picture, float).std(axis=(0, 1)).min() > 15  # seen in each channel


@pytest.mark.parametrize("kind", make_clips.KINDS)
def test_the_same_is_made_at_every_call(kind, make):
    first, second = (make(kind, name=name) for name in ("first", "second"))
    files = [path.relative_to(first) for path in first.rglob("*") if path.is_file()]
    assert len(files) >= 12
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["speedz", "new"], "invalid choice: 'speedz'"),
        (["speeds", "new", "--count=0"], "expected a whole number, 1 to 9,999,999"),
        (["speeds", "new", "--frames=9-5"], "expected 2 or more, as in 8 or 5-60"),
        (["captions", "new", "--form=gif"], "expected png, webp, mp4 or avi"),
        (["speeds", "there"], "there exists: expected the name of a folder to make"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_made(
    arguments, expected, tmp_path, monkeypatch, capsys
):
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    try:
        status = exit_status(make_clips.main, arguments)
    except SystemExit as end:
        status = end.code
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
