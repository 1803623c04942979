import dataclasses

import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data.sources import SOURCES
from crnn_jax.data.split import Split, identity
from crnn_jax.data.store_builder import Glyphs, config_name


def made_splits():
    rng = np.random.default_rng(0)
    return {
        name: Split(
            rng.integers(0, 256, (size, 28, 28, 1), np.uint8), rng.integers(0, 10, size, np.int32)
        )
        for name, size in [("train", 4_321), ("validation", 1_000), ("test", 7)]
    }


@pytest.fixture
def glyphs(tmp_path):
    return Glyphs(data_dir=tmp_path / "data", config="optdigits")


def read(monkeypatch, instead):
    made = dataclasses.replace(SOURCES["optdigits"], read=instead)
    monkeypatch.setitem(SOURCES, "optdigits", made)


def prepare(glyphs, tmp_path):
    glyphs.download_and_prepare(file_format="array_record", download_dir=tmp_path / "downloads")


def test_what_is_read_is_what_was_prepared(tmp_path, monkeypatch, glyphs):
    splits = made_splits()
    read(monkeypatch, lambda folder: splits)
    prepare(glyphs, tmp_path)

    reopened = Glyphs(data_dir=tmp_path / "data", config="optdigits")
    source = reopened.as_data_source("train")
    order = [record["first_index"] for record in source.__getitems__(range(len(source)))]
    assert order != sorted(order), "the records are in order: this test would prove nothing"

    found = reopened.read()
    assert list(found) == ["train", "validation", "test"]
    for name, split in splits.items():
        np.testing.assert_array_equal(found[name].images_NxHxWxC, split.images_NxHxWxC, strict=True)
        np.testing.assert_array_equal(found[name].labels_N, split.labels_N, strict=True)
    assert reopened.info.metadata["identity"] == identity("optdigits", splits)


def test_every_corpus_has_a_config():
    stored = {name for name, source in SOURCES.items() if not source.subset_of}
    assert {config_name(name) for name in stored} == set(Glyphs.builder_configs)


def test_a_failed_preparation_leaves_nothing(tmp_path, monkeypatch, glyphs):
    def failing(self, split):
        yield (
            0,
            {"images": split.images_NxHxWxC[..., 0], "labels": split.labels_N, "first_index": 0},
        )
        raise KeyboardInterrupt

    read(monkeypatch, lambda folder: made_splits())
    monkeypatch.setattr(Glyphs, "_generate_examples", failing)
    with pytest.raises(KeyboardInterrupt):
        prepare(glyphs, tmp_path)
    assert not glyphs.data_path.exists()
    assert list(glyphs.data_path.parent.iterdir()) == []


def test_a_users_mistake_comes_through_unchanged(tmp_path, monkeypatch, glyphs):
    def failing(folder):
        raise UserError("one line")

    read(monkeypatch, failing)
    with pytest.raises(UserError, match=r"^one line$"):
        prepare(glyphs, tmp_path)
    assert not glyphs.data_path.exists()
