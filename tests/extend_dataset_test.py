"""Follows docs/extend-dataset.md to the letter."""

import re
import sys
import textwrap

import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.data.dataset import load_dataset
from crnn_jax.data.sources import SOURCES


@pytest.fixture
def pets(project, tmp_path, monkeypatch):
    """Adds the data set of the recipe, made of random pixels; gives images, labels, a loader."""
    recipe = (project / "docs" / "extend-dataset.md").read_text()
    (source,) = re.findall(r"```python\n(.*?)```", recipe, re.DOTALL)
    (tmp_path / "pets.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pets", raising=False)
    import pets

    (line,) = re.findall(r"`\"(\w+)\": (\w+)` to `SOURCES`", recipe)
    monkeypatch.setitem(SOURCES, line[0], getattr(pets, line[1]))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (100, 19, 23, 3), np.uint8)
    labels = rng.integers(0, 2, 100)

    def load(manual_dir="files"):
        where = {"data_dir": str(tmp_path / "data"), "manual_dir": manual_dir and str(folder)}
        return load_dataset("pets", **where, fallback=True)

    folder = tmp_path / "files"
    folder.mkdir()
    np.savez(folder / "pets.npz", images=images, labels=labels)
    return images, labels, load


def test_the_data_set_of_the_recipe_is_prepared_and_read(pets):
    images, labels, load = pets
    with pytest.raises(UserError, match=r"Pets is not available: .*put pets\.npz into a folder"):
        load(manual_dir="")
    load()
    found = load(manual_dir="")  # what was prepared
    assert (found.info.classes, found.info.frame_shape) == (("cat", "dog"), (19, 23, 3))
    assert not found.info.glyphs
    parts = (found.train, found.validation, found.test)
    assert [len(split.labels_N) for split in parts] == [80, 10, 10]
    together = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    np.testing.assert_array_equal(together[0], images, strict=True)
    np.testing.assert_array_equal(together[1], labels.astype(np.int32), strict=True)
