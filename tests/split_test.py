import numpy as np
import pytest

from crnn_jax.data.split import Split, cut, identity


def splits(train, test, channels=1):
    """Splits with the given labels and, for each label, an image of 2×2 such pixels."""
    found = {}
    for name, labels in [("train", train), ("test", test)]:
        pixels = np.repeat(np.array(labels, np.uint8), 4 * channels)
        found[name] = Split(pixels.reshape(-1, 2, 2, channels), np.array(labels, np.int32))
    return found


def test_identity_is_the_same_everywhere():
    assert identity("x", splits([1, 2], [3])) == "x:b1dc0da562e86fe9"
    assert identity("x", splits([1, 2], [3], channels=3)) == "x:2ce63b12d78eaee3"


def test_identity_tells_apart():
    other_label, other_pixel = splits([1, 2, 3], [4]), splits([1, 2, 3], [4])
    other_label["test"].labels_I[0] = 5
    other_pixel["test"].images_IxHxWxC[0, 1, 1, 0] = 5
    found = {
        identity("x", splits([1, 2, 3], [4])),
        identity("y", splits([1, 2, 3], [4])),
        identity("x", splits([2, 1, 3], [4])),  # other order
        identity("x", splits([1, 2], [3, 4])),  # other border
        identity("x", splits([1, 2, 3], [4], channels=3)),
        identity("x", other_label),
        identity("x", other_pixel),
    }
    assert len(found) == 7
    assert len(identity("x", splits([1], [2]))) == len("x:") + 16


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_cut_gives_one_behind_the_other(channels):
    images = np.arange(7).astype(np.uint8).reshape(7, 1, 1, *[1] * len(channels))
    images = np.broadcast_to(images, (7, 2, 3, *channels))
    found = cut(images, np.arange(7, dtype=np.int64), {"a": 4, "b": 1, "c": 2})
    assert {name: split.labels_I.tolist() for name, split in found.items()} == {
        "a": [0, 1, 2, 3],
        "b": [4],
        "c": [5, 6],
    }
    for images_IxHxWxC, labels_I in found.values():
        assert images_IxHxWxC.shape == (len(labels_I), 2, 3, *(channels or (1,)))
        assert (images_IxHxWxC[:, 1, 2, -1] == labels_I).all()
        assert labels_I.dtype == np.int32


def test_some_classes():
    split = splits([3, 0, 2, 1, 9, 1], [])["train"].classes(1, 3)
    assert split.labels_I.tolist() == [2, 1, 1]
    assert split.images_IxHxWxC[:, 1, 1, 0].tolist() == [2, 1, 1]
