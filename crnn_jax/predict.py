"""Using a trained network on people's own pictures."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from crnn_jax.data.corpora import glyph_name
from crnn_jax.errors import UserError
from crnn_jax.model.decoder import Text
from crnn_jax.model.heads import Posterior
from crnn_jax.pictures import Picture, frames_of
from crnn_jax.restored import Restored


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
        if self.restored.config.task.name == "glyph":
            return glyph_name(self.restored.corpus_name, answer)
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
