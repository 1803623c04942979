import dataclasses
import json

import numpy as np
import pytest

from configs.sum8 import get_config
from crnn_jax import UserError
from crnn_jax.data import dataset
from crnn_jax.data.dataset import DatasetInfo, known_info, load_dataset
from crnn_jax.data.sources import SOURCES, mnist


@pytest.fixture
def no_network(monkeypatch):
    published = dataclasses.replace(mnist.PUBLISHED, url="http://127.0.0.1:9/")
    monkeypatch.setitem(SOURCES, "mnist", dataclasses.replace(mnist.MNIST, published=published))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def warnings(monkeypatch):
    """The warnings that were given."""
    found = []
    monkeypatch.setattr(dataset, "say", found.append)
    return found


def test_what_is_known_of_a_data_set_goes_through_json():
    for name in SOURCES:
        info = known_info(f"{name}:0123")
        assert (info.name, info.identity) == (name, f"{name}:0123")
        stored = json.loads(json.dumps(info.to_json()))
        assert DatasetInfo.from_json(stored) == info
        assert hash(info)  # has no lists
    with pytest.raises((KeyError, TypeError)):
        DatasetInfo.from_json({"name": "mnist"})
    with pytest.raises(UserError, match=r"svhn:0123 is unknown, expected one of mnist, "):
        known_info("svhn:0123")


def test_of_a_subset_only_some_classes_are_kept(optdigits, data_dir, monkeypatch):
    part = dataclasses.replace(SOURCES["optdigits"], subset_of="optdigits", first=3)
    monkeypatch.setitem(SOURCES, "optdigits-3-9", part)
    found = load_dataset("optdigits-3-9", data_dir=data_dir, manual_dir="", fallback=False)
    assert found.info.classes == optdigits.info.classes
    assert found.identity.startswith("optdigits-3-9:")
    for name in ("train", "validation", "test"):
        labels = getattr(optdigits, name).labels_I
        np.testing.assert_array_equal(getattr(found, name).labels_I, labels[labels >= 3])


def test_optdigits(optdigits, data_dir):
    assert optdigits.info == known_info("optdigits:b2a2a4fa33228682")
    # Renew it, and the store's VERSION, when the data set is changed on purpose.
    assert optdigits.identity == "optdigits:b2a2a4fa33228682"
    for split, size in [
        (optdigits.train, 1_297),
        (optdigits.validation, 200),
        (optdigits.test, 300),
    ]:
        assert split.images_IxHxWxC.shape == (size, 28, 28, 1)
        assert split.images_IxHxWxC.dtype == np.uint8
        assert split.labels_I.shape == (size,)
        assert split.labels_I.dtype == np.int32
    again = load_dataset("optdigits", data_dir=data_dir, manual_dir="", fallback=False)
    assert again.identity == optdigits.identity
    np.testing.assert_array_equal(again.train.images_IxHxWxC, optdigits.train.images_IxHxWxC)


def test_mnist_from_its_files_then_from_what_was_prepared(
    tmp_path, mnist_dir, no_network, warnings
):
    data_dir = str(tmp_path)
    found = load_dataset("mnist", data_dir=data_dir, manual_dir=mnist_dir, fallback=False)
    assert found.info == known_info("mnist:d6031098ce5fd234")
    assert (found.info.frame_shape, found.info.classes) == ((28, 28, 1), tuple("0123456789"))
    again = load_dataset("mnist", data_dir=data_dir, manual_dir="", fallback=False)
    assert again.identity == found.identity
    sizes = [len(s.labels_I) for s in (again.train, again.validation, again.test)]
    assert sizes == [55_000, 5_000, 10_000]
    assert warnings == []


def test_mnist_5k_stands_in_with_one_warning(data_dir, no_network, warnings):
    found = load_dataset("mnist", data_dir=data_dir, manual_dir="", fallback=True)
    assert found.info.name == "mnist-5k"
    sizes = [len(s.labels_I) for s in (found.train, found.validation, found.test)]
    assert sizes == [4_000, 500, 500]
    (warning,) = warnings
    assert "\n" not in warning
    for part in (
        "MNIST is not available",
        "ConnectionError",
        "GOING ON WITH mnist-5k INSTEAD",
        "manual_dir=FOLDER",
    ):
        assert part in warning
    by_name = load_dataset("mnist-5k", data_dir=data_dir, manual_dir="", fallback=False)
    assert by_name.info == found.info


def test_nothing_stands_in_where_it_is_forbidden(tmp_path, no_network, warnings):
    with pytest.raises(UserError, match=r"ConnectionError.*--config\.data\.manual_dir=FOLDER"):
        load_dataset("mnist", data_dir=str(tmp_path), manual_dir="", fallback=False)
    assert warnings == []
    assert not list(tmp_path.glob("glyphs/*"))


@pytest.mark.parametrize("wrong", ["absent", "empty", "damaged"])
def test_a_wrong_manual_dir_is_a_mistake_even_with_fallback(tmp_path, warnings, wrong):
    folder = tmp_path / wrong
    message = {"absent": "no such folder", "empty": "no train-images", "damaged": "SHA-256 .*"}
    if wrong != "absent":
        folder.mkdir()
    if wrong == "damaged":
        for name in mnist.PUBLISHED.sha256:
            (folder / name).write_bytes(b"<html>")
    with pytest.raises(UserError, match=f"^{folder}.*: {message[wrong]}"):
        load_dataset(
            "mnist", data_dir=str(tmp_path / "data"), manual_dir=str(folder), fallback=True
        )
    assert warnings == []
    assert not (tmp_path / "data").exists()


def test_an_unknown_name(tmp_path):
    with pytest.raises(UserError, match=r"emnist is unknown, expected .*mnist.*optdigits"):
        load_dataset("emnist", data_dir=str(tmp_path), manual_dir="", fallback=True)


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    load_dataset("mnist-5k", data_dir="~/data", manual_dir="", fallback=False)
    assert (home / "data" / "glyphs" / "mnist-5k").is_dir()
    with pytest.raises(UserError, match=f"^{home / 'manual'}: no such folder"):
        load_dataset("mnist", data_dir="~/data", manual_dir="~/manual", fallback=True)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("cache", "expected"), [("{tmp}/cache", "cache"), ("", "home/.cache"), ("here", "home/.cache")]
)
def test_the_default_folder_is_in_the_users_cache(tmp_path, monkeypatch, cache, expected):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", cache.format(tmp=tmp_path))  # a relative one is ignored
    default = get_config().data.data_dir
    load_dataset("mnist-5k", data_dir=default, manual_dir="", fallback=False)
    assert (tmp_path / expected / "crnn_jax" / "glyphs" / "mnist-5k").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == [expected.partition("/")[0]]
