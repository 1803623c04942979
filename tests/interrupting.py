"""Ends a training run as a killed process does, right after a checkpoint."""

import contextlib
from collections.abc import Iterator

import pytest

from crnn_jax.runs.checkpoint import Checkpoints


class _Interrupted(Exception):
    pass


@contextlib.contextmanager
def interrupted_at(step: int) -> Iterator[None]:
    """What runs within must save the checkpoint of this step, and ends there."""
    save = Checkpoints.save

    def save_then_stop(self, saved, *args, **kwargs):
        save(self, saved, *args, **kwargs)
        if saved == step:
            raise _Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_then_stop)
        with pytest.raises(_Interrupted):
            yield
