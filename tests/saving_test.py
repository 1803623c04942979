"""Figures as files."""

import numpy as np
from PIL import Image

from crnn_jax.figures import confusion, saving


def test_a_large_file_gets_a_palette(tmp_path, monkeypatch):
    figure = confusion.draw_counts(np.eye(3, 4) + 4 * np.eye(3, 4, 1), "abc", "Letters")
    sizes = {}
    for most_bytes, mode in ((200_000, "RGB"), (5000, "P")):
        monkeypatch.setattr(saving, "MOST_BYTES", most_bytes)
        (path,) = saving.save({"letters": figure}, tmp_path, 4)
        with Image.open(path) as image:
            assert image.mode == mode
        sizes[mode] = path.stat().st_size
    assert sizes["P"] < 0.6 * sizes["RGB"]
