"""Files as people lay them out, and their listing."""

from crnn_jax.config import fields
from crnn_jax.data.sources.layouts import list_clips


def lay(folder, *names):
    """Make files that nobody opens."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def write(path, text):
    """Make a list of files; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def listed(path, answer="class", answer_column="", **values):
    """The listing of what --config.data.path names."""
    return list_clips(data_config(path=str(path), answer=answer_column, **values), answer)


def data_config(**values):
    """The section `data` of a config."""
    data = fields.default().data
    data.update(values)
    return data


def fatal(listing):
    """The fatal problems of files, without those of too few clips for a split."""
    parts = ("train", "validation", "test")
    return [f"{p.name}: {p.what}" for p in listing.problems if p.fatal and p.name not in parts]
