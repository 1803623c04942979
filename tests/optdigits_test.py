import numpy as np
from sklearn.datasets import load_digits

from crnn_jax.data.sources import optdigits


def test_splits_keep_the_original_order():
    splits = optdigits.read()
    assert [len(split.labels_I) for split in splits.values()] == [1_297, 200, 300]
    images, labels = map(np.concatenate, zip(*splits.values(), strict=True))
    stored = load_digits()
    np.testing.assert_array_equal(labels, stored.target.astype(np.int32), strict=True)
    enlarged = optdigits.enlarge(stored.images.astype(np.int32))
    np.testing.assert_array_equal(images[..., 0], enlarged, strict=True)


def test_black_frame_around_the_whole_range():
    image = np.zeros((1, 8, 8), np.int32)
    image[0, 0, 0] = 16
    found = optdigits.enlarge(image)[0]
    assert found.shape == (28, 28)
    assert found.dtype == np.uint8
    assert found[4, 4] == 255  # the corner keeps its place and its brightness
    assert found[4:7, 4:7].all()
    found[4:7, 4:7] = 0
    assert not found.any()


def test_bilinear():
    # On a grid of 20 points over 7 steps, value x·y of the 8×8 grid is (7i/19)·(7j/19).
    ramp = np.arange(8)
    found = optdigits.enlarge(np.minimum(np.outer(ramp, ramp), 16)[None].astype(np.int32))[0]
    fine = np.arange(11) * 7 / 19  # up to 3.7: below where the minimum bends the surface
    expected = np.outer(fine, fine) * 255 / 16
    np.testing.assert_allclose(found[4:15, 4:15], expected, atol=0.5)
