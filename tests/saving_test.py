"""Figures as files."""

import errno

import numpy as np
import pytest
from PIL import Image
from tensorboardX.event_file_writer import EventsWriter

from crnn_jax import UserError
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


def test_a_full_disk_is_one_line_and_does_not_hold_it_up(tmp_path, monkeypatch):
    def no_space(self, event):
        if event.HasField("summary"):
            raise OSError(errno.ENOSPC, "no space")

    figure = confusion.draw_counts(np.eye(3), "abc", "Letters")
    monkeypatch.setattr(EventsWriter, "write_event", no_space)
    with pytest.raises(UserError, match=r"no figures can be written to .* \(no space\)"):
        saving.save({"letters": figure}, tmp_path, 4)
