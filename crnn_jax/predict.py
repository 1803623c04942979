"""Using a trained network on people's own pictures."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from crnn_jax.data.batch import Batch
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.distributed import devices
from crnn_jax.evaluate.answer import answer
from crnn_jax.pictures import Picture, find_pictures, frames_of
from crnn_jax.runs.load import Restored, parse_step, restore
from crnn_jax.runs.progress import print_table


class Predictor:
    """A trained network that answers about pictures; threads may share it.

    Forked processes may not: JAX hangs after a fork. Load the network in each worker instead.

    Attributes:
      restored: the network with its parameters and its config.
    """

    def __init__(self, restored: Restored) -> None:
        """Take a network that `restore` read."""
        self.restored = restored
        network = restored.network
        self._answer = jax.jit(lambda params, batch: answer(network, params, batch))

    def __call__(
        self, pictures: Picture | Iterable[Picture], *, split: bool = False
    ) -> dict[str, Any]:
        """Answer about a sequence of pictures.

        Args:
          pictures: one or several, in order, as `frames_of` takes them; or one picture of a row of
            glyphs.
          split: whether it is that one.

        Returns:
          See `Task.explain`.

        Raises:
          UserError: a picture cannot be used, or there are not as many as the network takes.
        """
        return self.explain(pictures, split=split, names=None)

    def explain(
        self,
        pictures: Picture | Iterable[Picture],
        *,
        split: bool,
        names: Sequence[str] | None,
    ) -> dict[str, Any]:
        """The same, with names for the pictures; None counts them."""
        restored = self.restored
        task: Any = restored.task
        info = restored.dataset
        frames_FxHxWxC = frames_of(
            pictures, shape=info.frame_shape, glyphs=info.glyphs, split=split
        )
        count = len(frames_FxHxWxC)
        task.check_pictures(count)
        # Filled up to the longest sequence: compiled once, and what follows changes no answer.
        frames_TxHxWxC = np.zeros((task.max_length, *info.frame_shape), np.uint8)
        frames_TxHxWxC[:count] = frames_FxHxWxC
        lanes = padded_lanes(np.array([task.max_length]))
        batch = Batch(frames_TxHxWxC[:, None], lanes, None)
        answers = jax.device_get(self._answer(restored.params, batch))
        answers = jax.tree.map(lambda x: x[None], answers)  # a chunk of its own
        answered = task.answered(answers.answer, answers, lanes, 1)
        if names is None or len(names) != count:  # a file may have several pages
            names = [f"picture {i}" for i in range(1, count + 1)]
        return task.explain(answered, names)


def predict(
    workdir: Path,
    paths: Sequence[str | os.PathLike[str]],
    *,
    split: bool,
    step: str,
    as_json: bool,
) -> None:
    """Answer about people's own pictures, and print the answer.

    Args:
      workdir: folder of a run.
      paths: pictures in order, or folders of pictures.
      split: whether the one picture shows a row of glyphs, to be cut apart.
      step: "latest", "best" or a number.
      as_json: whether to print one JSON object instead of a table.

    Raises:
      UserError: the folder holds no such run or checkpoint, or the pictures cannot be used.
    """
    which = parse_step(step)
    devices.keep_compiled_programs()
    pictures = find_pictures(paths)
    names = None if split else [picture.name for picture in pictures]
    found = Predictor(restore(workdir, which)).explain(pictures, split=split, names=names)
    if as_json:
        print(json.dumps(found))
        return
    rows = [("answer", found["answer"])]
    if "estimate" in found:
        rows.append(("estimate", f"{found['estimate']:.2f}"))
    if "confidence" in found:
        rows.append(("confidence", f"{found['confidence']:.1%}"))
    for part in found["steps"]:
        confidence = f" · {part['confidence']:.1%}" if "confidence" in part else ""
        estimate = f" · estimate {part['estimate']:.2f}" if "estimate" in part else ""
        rows.append((part["name"], f"{part['answer']}{estimate}{confidence}"))
    print_table("prediction", rows)
