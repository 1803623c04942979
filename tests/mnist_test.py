import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data.sources import mnist
from crnn_jax.data.sources.download import DownloadError
from crnn_jax.data.sources.idx import read_idx
from tests.files import idx_bytes


def write_idx(path, array):
    path.write_bytes(gzip.compress(idx_bytes(array), mtime=0))


def write_pair(folder, prefix, *, label=9):
    write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", np.zeros((12, 28, 28)))
    write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", np.full(12, label))


def test_the_official_files(mnist_dir):
    splits = mnist.read_splits(Path(mnist_dir))
    assert list(splits) == ["train", "validation", "test"]
    for split, size in zip(splits.values(), [55_000, 5_000, 10_000], strict=True):
        assert split.images_NxHxWxC.shape == (size, 28, 28, 1)
        assert split.images_NxHxWxC.dtype == np.uint8
        assert split.labels_N.shape == (size,)
        assert split.labels_N.dtype == np.int32
    assert splits["train"].labels_N[:5].tolist() == [5, 0, 4, 1, 9]
    assert splits["validation"].labels_N[-5:].tolist() == [8, 3, 5, 6, 8]
    assert splits["test"].labels_N[:5].tolist() == [7, 2, 1, 0, 4]
    whole = [splits[name].images_NxHxWxC[..., 0] for name in ("train", "validation")]
    stored_NxHxW = read_idx(Path(mnist_dir) / "train-images-idx3-ubyte.gz", 3)
    np.testing.assert_array_equal(np.concatenate(whole), stored_NxHxW)


def test_a_label_that_is_no_digit(tmp_path):
    write_pair(tmp_path, "train", label=10)
    with pytest.raises(UserError, match=r"found label 10 at index 0, expected 0\.\.9"):
        mnist.read_splits(tmp_path)


def test_whole_files_that_are_not_the_official_ones(tmp_path):
    write_pair(tmp_path, "train")
    write_pair(tmp_path, "t10k")
    name = "train-images-idx3-ubyte.gz"
    found = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    with pytest.raises(UserError, match=f"{name}: SHA-256 {found}, expected {mnist.SHA256[name]}"):
        mnist.read_splits(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"absent: no such folder.*--config.data.manual_dir"):
        mnist.check_folder(tmp_path / "absent")
    with pytest.raises(UserError, match=r"xxx: no such folder"):
        mnist.check_folder(tmp_path / ("x" * 300))
    write_pair(tmp_path, "t10k")
    with pytest.raises(UserError) as error:
        mnist.check_folder(tmp_path)
    assert "no train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz;" in str(error.value)
    assert "t10k" not in str(error.value)


@pytest.fixture
def served(monkeypatch):
    """Stands in for the network: what `served` holds is what comes."""
    files = {name: name.encode() for name in mnist.SHA256}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(mnist, "SHA256", hashes)
    monkeypatch.setattr(
        mnist, "download", lambda urls: [files[url.removeprefix(mnist.URL)] for url in urls]
    )
    return files


def test_downloaded_files_are_written(tmp_path, served):
    mnist.download_files(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == served


def test_a_download_of_something_else_leaves_nothing(tmp_path, served):
    served["t10k-labels-idx1-ubyte.gz"] = b"<html>Please log in</html>"
    with pytest.raises(DownloadError, match=r"t10k-labels.*not the official file .26 bytes"):
        mnist.download_files(tmp_path)
    assert list(tmp_path.iterdir()) == []
