from pathlib import Path

import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data.sources import mnist
from crnn_jax.data.sources.idx import read_idx
from crnn_jax.data.split import identity
from tests.files import write_idx_pair


def test_the_official_files(mnist_dir):
    mnist.PUBLISHED.check(Path(mnist_dir))
    splits = mnist.read(Path(mnist_dir))
    assert list(splits) == ["train", "validation", "test"]
    for split, size in zip(splits.values(), [55_000, 5_000, 10_000], strict=True):
        assert split.images_IxHxWxC.shape == (size, 28, 28, 1)
        assert split.images_IxHxWxC.dtype == np.uint8
        assert split.labels_I.shape == (size,)
        assert split.labels_I.dtype == np.int32
    assert splits["train"].labels_I[:5].tolist() == [5, 0, 4, 1, 9]
    assert splits["validation"].labels_I[-5:].tolist() == [8, 3, 5, 6, 8]
    assert splits["test"].labels_I[:5].tolist() == [7, 2, 1, 0, 4]
    whole = [splits[name].images_IxHxWxC[..., 0] for name in ("train", "validation")]
    stored_NxHxW = read_idx(Path(mnist_dir) / "train-images-idx3-ubyte.gz", 3)
    np.testing.assert_array_equal(np.concatenate(whole), stored_NxHxW)
    assert identity("mnist", splits) == "mnist:d6031098ce5fd234"


def test_a_label_that_is_no_digit(tmp_path):
    write_idx_pair(tmp_path, "train", labels=[9] * 11 + [10])
    with pytest.raises(UserError, match=r"found label 10 at index 11, expected 0\.\.9"):
        mnist.read(tmp_path)
