"""Using a trained network on people's own pictures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from crnn_jax import UserError
from crnn_jax.distributed import devices
from crnn_jax.model.decoder import Text
from crnn_jax.model.heads import Posterior
from crnn_jax.pictures import Picture, find_pictures, frames_of
from crnn_jax.runs.load import Restored, parse_step, restore
from crnn_jax.runs.progress import print_table


class Reader:
    """A trained network that answers about pictures."""

    def __init__(self, restored: Restored) -> None:
        """Takes a network that `restore` read."""
        self.restored = restored
        self._apply = jax.jit(restored.network.apply)

    def __call__(self, pictures: Sequence[Picture], *, split: bool = False) -> dict[str, Any]:
        """Answers about a sequence of pictures.

        Args:
          pictures: files or arrays in order, one glyph each (`crnn_jax/pictures`); or one picture
            of a row of glyphs.
          split: whether it is that one.

        Returns:
          What JSON can hold. Of a task with a number: answer (as people write it), estimate (what
          minimises the squared error) where numbers can be nearly right, confidence (probability
          of the answer, where the head gives one), and steps: the same after each picture. Of a
          written answer: answer, confidence (probability of all its symbols), and steps: answer
          and confidence of each symbol, in the order of writing.

        Raises:
          UserError: a picture cannot be used, or there are not as many as the network takes.
        """
        frames_FxHxW = frames_of(pictures, split=split)
        self._check_count(len(frames_FxHxW))
        frames = jnp.asarray(frames_FxHxW)[:, None, ..., None]
        starts = (jnp.arange(len(frames)) == 0)[:, None]
        output = self._apply(self.restored.params, frames, starts)
        return self._written(output) if isinstance(output, Text) else self._number(output)

    def _check_count(self, count: int) -> None:
        task, network = self.restored.config.task, self.restored.network
        if network.task.films:
            raise UserError(f"the task {task.name} is asked of clips: expected a run on pictures")
        least = task.max_length if network.task.written else 1
        if not least <= count <= task.max_length:
            expected = f"{least}" if least == task.max_length else f"{least} to {task.max_length}"
            raise UserError(f"{count} pictures are given: expected {expected} for this network")

    def _number(self, output: Any) -> dict[str, Any]:
        answers = np.asarray(output.answer())[:, 0]
        estimates = np.asarray(output.estimate())[:, 0]
        steps = []
        for t, (answer, estimate) in enumerate(zip(answers, estimates, strict=True)):
            step: dict[str, Any] = {"answer": self._name(int(answer))}
            if self.restored.network.task.measures:
                step["estimate"] = float(estimate)
            if isinstance(output, Posterior):
                step["confidence"] = float(jnp.exp(jnp.max(output.log_probs_TxNxK[t, 0])))
            steps.append({"name": "after picture", **step})
        return {**{k: v for k, v in steps[-1].items() if k != "name"}, "steps": steps}

    def _name(self, answer: int) -> str:
        if self.restored.config.task.name == "classify":
            return self.restored.dataset.classes[answer]
        return str(answer)

    def _written(self, output: Text) -> dict[str, Any]:
        task = self.restored.network.task
        symbols = np.asarray(output.answer())[0]
        confidence = np.asarray(output.confidence(), np.float64)[0]
        return {
            "answer": task.text(symbols),
            "confidence": float(confidence.prod()),
            "steps": [
                {"name": "symbol", "answer": task.vocabulary[s], "confidence": float(p)}
                for s, p in zip(symbols, confidence, strict=True)
            ],
        }


def predict(workdir: Path, paths: Sequence[Path], *, split: bool, step: str, as_json: bool) -> None:
    """Answers about people's own pictures, and prints the answer.

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
    answer = Reader(restore(workdir, which))(pictures, split=split)
    if as_json:
        print(json.dumps(answer))
        return
    rows = [("answer", answer["answer"])]
    if "estimate" in answer:
        rows.append(("estimate", f"{answer['estimate']:.2f}"))
    if "confidence" in answer:
        rows.append(("confidence", f"{answer['confidence']:.1%}"))
    for i, part in enumerate(answer["steps"]):
        of_picture = part["name"] == "after picture" and not split
        name = f"after {pictures[i].name}" if of_picture else f"{part['name']} {i + 1}"
        confidence = f" · {part['confidence']:.1%}" if "confidence" in part else ""
        estimate = f" · estimate {part['estimate']:.2f}" if "estimate" in part else ""
        rows.append((name, f"{part['answer']}{estimate}{confidence}"))
    print_table("prediction", rows)
