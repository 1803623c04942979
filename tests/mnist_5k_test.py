from pathlib import Path

import numpy as np

from crnn_jax.data.sources import mnist, mnist_5k
from crnn_jax.data.split import identity


def test_every_split_has_as_many_of_each_digit():
    splits = mnist_5k.read()
    for name, size in [("train", 4_000), ("validation", 500), ("test", 500)]:
        images_IxHxWxC, labels_I = splits[name]
        assert images_IxHxWxC.shape == (size, 28, 28, 1)
        assert images_IxHxWxC.dtype == np.uint8
        assert np.bincount(labels_I).tolist() == [size // 10] * 10
        assert labels_I.dtype == np.int32
    # Renew it, and the store's VERSION, when the data set is changed on purpose.
    assert identity("mnist-5k", splits) == "mnist-5k:47476e2cf90f3ade"


def test_the_images_are_5000_of_mnists_training_images_with_their_labels(mnist_dir):
    def labelled(splits, *parts):
        return [
            (image.tobytes(), label)
            for part in parts
            for image, label in zip(*splits[part], strict=True)
        ]

    found = labelled(mnist_5k.read(), "train", "validation", "test")
    official = mnist.read(Path(mnist_dir))
    assert len(set(found)) == 5_000
    assert set(found) <= set(labelled(official, "train", "validation"))
    assert not set(found) & set(labelled(official, "test"))
