import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data import dataset
from crnn_jax.data.dataset import load_dataset
from crnn_jax.data.sources import mnist
from crnn_jax.data.sources.download import DownloadError


@pytest.fixture
def no_network(monkeypatch):
    def fail(urls):
        raise DownloadError(f"{urls[0]}: ConnectionError")

    monkeypatch.setattr(mnist, "download", fail)


@pytest.fixture
def warnings(monkeypatch):
    """The warnings that were given."""
    found = []
    monkeypatch.setattr(dataset.logging, "warning", lambda text, *args: found.append(text % args))
    return found


def test_optdigits(optdigits, data_dir):
    assert (optdigits.info.name, len(optdigits.info.classes)) == ("optdigits", 10)
    # Renew it, and the builder's VERSION, when the corpus is changed on purpose.
    assert optdigits.identity == "optdigits:b2a2a4fa33228682"
    for split, size in [
        (optdigits.train, 1_297),
        (optdigits.validation, 200),
        (optdigits.test, 300),
    ]:
        assert split.images_NxHxWxC.shape == (size, 28, 28, 1)
        assert split.images_NxHxWxC.dtype == np.uint8
        assert split.labels_N.shape == (size,)
        assert split.labels_N.dtype == np.int32
    again = load_dataset("optdigits", data_dir=data_dir, manual_dir="", fallback=False)
    assert again.identity == optdigits.identity
    np.testing.assert_array_equal(again.train.images_NxHxWxC, optdigits.train.images_NxHxWxC)


def test_mnist_from_its_files_then_from_what_was_prepared(
    tmp_path, mnist_dir, no_network, warnings
):
    data_dir = str(tmp_path)
    corpus = load_dataset("mnist", data_dir=data_dir, manual_dir=mnist_dir, fallback=False)
    assert (corpus.info.name, len(corpus.info.classes)) == ("mnist", 10)
    assert corpus.identity == "mnist:d6031098ce5fd234"
    again = load_dataset("mnist", data_dir=data_dir, manual_dir="", fallback=False)
    assert again.identity == corpus.identity
    assert [len(s.labels_N) for s in (again.train, again.validation, again.test)] == [
        55_000,
        5_000,
        10_000,
    ]
    assert warnings == []


def test_falls_back_with_one_warning(data_dir, optdigits, no_network, warnings):
    corpus = load_dataset("mnist", data_dir=data_dir, manual_dir="", fallback=True)
    assert corpus.info.name == "optdigits"
    assert corpus.identity == optdigits.identity
    (warning,) = warnings
    assert "\n" not in warning
    for part in ("MNIST could not be had", "ConnectionError", "optdigits", "manual_dir=FOLDER"):
        assert part in warning


def test_no_fallback_where_it_is_forbidden(tmp_path, no_network, warnings):
    with pytest.raises(UserError, match=r"ConnectionError.*--config\.data\.manual_dir=FOLDER"):
        load_dataset("mnist", data_dir=str(tmp_path), manual_dir="", fallback=False)
    assert warnings == []
    assert not list(tmp_path.glob("glyphs/mnist/*"))


def test_a_wrong_manual_dir_is_a_mistake_even_with_fallback(tmp_path, warnings):
    wrong = tmp_path / "manual"
    with pytest.raises(UserError, match=f"^{wrong}: no such folder"):
        load_dataset("mnist", data_dir=str(tmp_path), manual_dir=str(wrong), fallback=True)
    wrong.mkdir()
    with pytest.raises(UserError, match=f"^{wrong}: no train-images-idx3-ubyte.gz, train-labels"):
        load_dataset("mnist", data_dir=str(tmp_path), manual_dir=str(wrong), fallback=True)
    assert warnings == []


def test_a_damaged_file_is_a_mistake_even_with_fallback(tmp_path, warnings):
    for name in mnist.SHA256:
        (tmp_path / name).write_bytes(b"<html>")
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte\.gz: not a whole gzip file"):
        load_dataset("mnist", data_dir=str(tmp_path), manual_dir=str(tmp_path), fallback=True)
    assert warnings == []
    assert not list(tmp_path.glob("glyphs/mnist/*"))


def test_unknown_corpus(tmp_path):
    with pytest.raises(UserError, match=r"unknown corpus 'emnist', expected .*mnist.*optdigits"):
        load_dataset("emnist", data_dir=str(tmp_path), manual_dir="", fallback=True)


def test_home_folder_is_expanded(tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    load_dataset("optdigits", data_dir="~/data", manual_dir="", fallback=False)
    assert (home / "data" / "glyphs" / "optdigits").is_dir()
    with pytest.raises(UserError, match=f"^{home / 'manual'}: no such folder"):
        load_dataset("mnist", data_dir="~/data", manual_dir="~/manual", fallback=True)
    assert list(here.iterdir()) == []
