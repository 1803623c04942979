import numpy as np

from crnn_jax.data.split import Split, identity


def splits(train, test):
    """Splits with the given labels and, for each label, an image of 2×2 such pixels."""
    return {
        name: Split(
            np.repeat(np.array(labels, np.uint8), 4).reshape(-1, 2, 2, 1),
            np.array(labels, np.int32),
        )
        for name, labels in [("train", train), ("test", test)]
    }


def test_identity_is_the_same_everywhere():
    assert identity("x", splits([1, 2], [3])) == "x:b1dc0da562e86fe9"


def test_identity_tells_apart():
    other_label, other_pixel = splits([1, 2, 3], [4]), splits([1, 2, 3], [4])
    other_label["test"].labels_N[0] = 5
    other_pixel["test"].images_NxHxWxC[0, 1, 1, 0] = 5
    found = {
        identity("x", splits([1, 2, 3], [4])),
        identity("y", splits([1, 2, 3], [4])),
        identity("x", splits([2, 1, 3], [4])),  # other order
        identity("x", splits([1, 2], [3, 4])),  # other border
        identity("x", other_label),
        identity("x", other_pixel),
    }
    assert len(found) == 6
    assert len(identity("x", splits([1], [2]))) == len("x:") + 16
