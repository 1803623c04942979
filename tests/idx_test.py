import gzip
import tracemalloc

import numpy as np
import pytest

from crnn_jax.data.idx import read_idx
from crnn_jax.errors import UserError


def idx_bytes(array, shape=None):
    """The content of an IDX file; `shape` is what its header claims."""
    shape = array.shape if shape is None else shape
    return bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + array.tobytes()


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
    "empty": (b"", "ends after 0 bytes, expected an IDX header of 16"),
    "no gzip": (b"<html>no such page</html>", "not a whole gzip file"),
    "cut off": (WHOLE[:-9], "not a whole gzip file"),
    "checksum": (WHOLE[:-8] + b"\0\0\0\0" + WHOLE[-4:], "not a whole gzip file .*CRC"),
    "nonsense": (WHOLE[:10] + b"\xff" * 20 + WHOLE[-8:], "not a whole gzip file"),
    "zeroed": (WHOLE[:12] + bytes(len(WHOLE) - 12), "not a whole gzip file"),
    "more behind": (WHOLE + b"more", "not a whole gzip file"),
    "labels": (gzip.compress(idx_bytes(IMAGES.ravel())), "0x00000801.*expected.*0x00000803"),
    "floats": (gzip.compress(b"\0\0\x0d\3" + bytes(12)), "0x00000d03.*expected.*0x00000803"),
    "half a header": (gzip.compress(idx_bytes(IMAGES)[:10]), "ends after 10 bytes, expected"),
    "too few": (gzip.compress(idx_bytes(IMAGES, (3, 3, 4))), "found 24 bytes.*3 × 3 × 4 = 36"),
    "too many": (gzip.compress(idx_bytes(IMAGES, (1, 3, 4))), "found more.*1 × 3 × 4 = 12"),
    "boastful": (gzip.compress(idx_bytes(IMAGES, (2**32 - 1,) * 3)), "promises 4,294,967,295 ×"),
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
    ("promised", "real"), [(24, 20 * 2**20), (1000 * 2**20, 24)], ids=["bomb", "empty promise"]
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
