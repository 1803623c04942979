import gzip
import tracemalloc
import zipfile

import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data.sources.idx import read_idx, read_pair
from tests.files import idx_bytes, write_idx_pair

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
WHOLE = gzip.compress(idx_bytes(IMAGES))


@pytest.mark.parametrize("array", [IMAGES, IMAGES.ravel(), IMAGES[:0]])
def test_reads_what_was_written(tmp_path, array):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(idx_bytes(array)))
    found = read_idx(path, array.ndim)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array, strict=True)


DAMAGED = {
    "empty": (b"", "starts with 0x, expected 16 bytes"),
    "no gzip": (b"<html>no such page</html>", "not a whole gzip file"),
    "cut off": (WHOLE[:-9], "not a whole gzip file"),
    "checksum": (WHOLE[:-8] + b"\0\0\0\0" + WHOLE[-4:], "not a whole gzip file .*CRC"),
    "nonsense": (WHOLE[:10] + b"\xff" * 20 + WHOLE[-8:], "not a whole gzip file"),
    "zeroed": (WHOLE[:12] + bytes(len(WHOLE) - 12), "not a whole gzip file"),
    "more behind": (WHOLE + b"more", "not a whole gzip file"),
    "labels": (
        gzip.compress(idx_bytes(IMAGES.ravel())),
        "0x00000801.*expected.*0x00000803.*3 axes",
    ),
    "floats": (gzip.compress(b"\0\0\x0d\3" + bytes(12)), "0x00000d03.*expected.*0x00000803"),
    "half a header": (
        gzip.compress(idx_bytes(IMAGES)[:10]),
        "starts with 0x[0-9a-f]{20}, expected 16 bytes",
    ),
    "too few": (gzip.compress(idx_bytes(IMAGES, (3, 3, 4))), r"found 24 bytes.*\[3, 3, 4\] = 36"),
    "too many": (gzip.compress(idx_bytes(IMAGES, (1, 3, 4))), r"found more.*\[1, 3, 4\] = 12"),
    "boastful": (gzip.compress(idx_bytes(IMAGES, (2**32 - 1,) * 3)), r"promises \[4294967295, 4"),
    "nothing, widely": (
        gzip.compress(idx_bytes(IMAGES[:0], (2**32 - 1, 0, 2**32 - 1))),
        r"promises \[4294967295, 0, 4294967295\] bytes, expected at most 134,217,728",
    ),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_names_the_file_and_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"^{path}: .*{message}") as error:
        read_idx(path, 3)
    assert "\n" not in str(error.value)


def test_what_is_no_file(tmp_path):
    for path in (tmp_path, tmp_path / "absent.gz"):
        with pytest.raises(UserError, match=f"^{path}: "):
            read_idx(path, 3)


@pytest.mark.parametrize(
    ("promised", "real"), [(24, 20 * 2**20), (100 * 2**20, 24)], ids=["bomb", "empty promise"]
)
def test_memory_follows_the_smaller_of_promise_and_content(tmp_path, promised, real):
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros(real, np.uint8), (promised,))))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="bytes after the header"):
            read_idx(path, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


LABELS = [1] * 11 + [26]


def test_a_pair_of_files(tmp_path):
    write_idx_pair(tmp_path, "x", labels=LABELS)
    images_IxHxW, labels_I = read_pair(tmp_path, "x", labels=range(1, 27))
    np.testing.assert_array_equal(
        images_IxHxW.ravel(), np.arange(12 * 28 * 28).astype(np.uint8), strict=True
    )
    np.testing.assert_array_equal(labels_I, np.array(LABELS, np.uint8), strict=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"images": (12, 28, 27)}, "x-images.*found images of 28×27, expected 28×28"),
        ({"labels": [1] * 11}, "x-labels.*found 11 labels, expected 12"),
        ({"labels": [1] * 11 + [27]}, r"x-labels.*found label 27 at index 11, expected 1\.\.26"),
        ({"labels": [1, 0] * 6}, r"x-labels.*found label 0 at index 1, expected 1\.\.26"),
    ],
)
def test_a_pair_that_does_not_fit(tmp_path, wrong, message):
    write_idx_pair(tmp_path, "x", **wrong)
    with pytest.raises(UserError, match=f"^{tmp_path}/{message}"):
        read_pair(tmp_path, "x", labels=range(1, 27))


def test_a_pair_in_a_zip_file(tmp_path):
    write_idx_pair(tmp_path, "x", labels=LABELS)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in tmp_path.glob("*.gz"):
            archive.write(path, f"inner/{path.name}")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        inner = zipfile.Path(archive, "inner/")
        zipped = read_pair(inner, "x", labels=range(1, 27))
        with pytest.raises(UserError, match=r"a\.zip/inner/y-images-idx3-ubyte\.gz: "):
            read_pair(inner, "y", labels=range(1, 27))
    loose = read_pair(tmp_path, "x", labels=range(1, 27))
    for found, expected in zip(zipped, loose, strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)
