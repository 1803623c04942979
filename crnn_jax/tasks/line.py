"""Lines of symbols, read from left to right: what all kinds of them share, and composed rows."""

import abc
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict
from rapidfuzz.distance import Levenshtein

from crnn_jax import UserError
from crnn_jax.data.augment_lines import augment_lines
from crnn_jax.data.batch import Batch, Drawn
from crnn_jax.data.lanes import Lanes
from crnn_jax.data.rows import HEIGHT, Rows
from crnn_jax.model.heads import Answers, Output
from crnn_jax.model.question import Question
from crnn_jax.tasks.composed import Composed
from crnn_jax.tasks.scores import line_scores
from crnn_jax.tasks.task import Account, Answered, Mark, Task, augmented

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""In place of a symbol that the network cannot write: a number that is none of the vocabulary."""

OF_IMAGES = ("shift", "turn", "scale", "elastic")
"""Changes that each image of a composed line has for itself (`data.augment`)."""

OF_LINES = ("brightness", "contrast")
"""Changes of its light, which its images have together."""


def line_keys(drawn: Drawn) -> Array:
    """A random key for each line: that of its first frame or image."""
    return drawn.augmentation_keys_TxN[drawn.lanes.first_B, drawn.lanes.lane_B]


@dataclasses.dataclass(frozen=True)
class Lines(Task):
    """A task about lines; texts are symbol numbers, -1 behind the end."""

    confusions_of: ClassVar[str] = "Symbols read in {:,} test lines"
    asks: ClassVar[str] = "text"

    @property
    @abc.abstractmethod
    def vocabulary(self) -> Sequence[str]:
        """The symbols, a character each."""

    def text(self, symbols_S: Sequence[int] | np.ndarray) -> str:
        """A text as people write it."""
        known = self.vocabulary
        return "".join(known[s] if s < len(known) else UNKNOWN for s in symbols_S if s >= 0)

    def training_batch(self, drawn: Drawn, settings: ConfigDict) -> Batch:
        """See `Task`: each line is changed as a whole, for its frames are strips of it."""
        images = drawn.images_TxNxHxWxC
        lines = augment_lines(images, drawn.lanes, line_keys(drawn), settings)
        return self.batch(lines, drawn.labels, drawn.lanes, drawn.scene_keys_B)

    def loss(self, output: Output, batch: Batch) -> Array:
        """See `Task`: the negative log-likelihood of the right texts."""
        return jnp.sum(output.loss(batch.targets))

    def goal(self, report: dict[str, Any]) -> float:
        """See `Task`: the share of symbols to correct."""
        return report["cer"]

    def of_lines(self, right_BxS: np.ndarray, answers: Answers, lengths_B: np.ndarray) -> Answered:
        """The right texts, and what the network answers about as many lines, one a row.

        Args:
          right_BxS: the right symbols.
          answers: the network's, as NumPy arrays.
          lengths_B: strips of each line.
        """
        count, written = right_BxS.shape[1], answers.answer.shape[1]
        longest = max(count, written)
        texts = [
            np.pad(x, ((0, 0), (0, longest - x.shape[1])), constant_values=-1)
            for x in (right_BxS, answers.answer)
        ]
        return Answered(
            lengths_B=lengths_B,
            targets=right_BxS,
            answers=answers.answer,
            estimates=None,
            confidence=answers.confidence,
            wrong_B=(texts[0] != texts[1]).any(axis=1),
            severity_B=answers.whole,
            steps=answers.steps,
        )

    def score(self, answered: Answered) -> dict[str, Any]:
        """See `line_scores`."""
        return line_scores(*self._texts(answered))

    def _texts(self, answered: Answered) -> tuple[list[str], list[str]]:
        """The right texts and those read."""
        right, read = ([*map(self.text, x)] for x in (answered.targets, answered.answers))
        return right, read

    def explain(self, answered: Answered, names: Sequence[str]) -> dict[str, Any]:
        """See `Task`; of each symbol, also the pixels of the line that it was read from."""
        del names
        read = self.text(answered.answers[0])
        strip = self.question.frame_shape[1]
        steps = [
            {
                "name": f"symbol {i + 1}",
                "answer": symbol,
                "confidence": float(answered.confidence[0, i]),
                "pixels": [int(first) * strip, (int(last) + 1) * strip],
            }
            for i, (symbol, (first, last)) in enumerate(
                zip(read, answered.steps[0, : len(read)], strict=True)
            )
        ]
        return {"answer": read, "confidence": float(answered.severity_B[0]), "steps": steps}

    def account(self, answered: Answered, i: int) -> Account:
        """See `Task`; each symbol stands below the strip in the middle of those it was read from.

        What must be added, taken away or replaced is wrong.
        """
        right, read = self.text(answered.targets[i]), self.text(answered.answers[i])
        wrong = {edit.dest_pos for edit in Levenshtein.editops(right, read) if edit.tag != "delete"}
        notes = [Mark("", False)] * int(answered.lengths_B[i])
        for s, symbol in enumerate(read):
            notes[int(answered.steps[i, s].sum()) // 2] = Mark(symbol, s in wrong)
        title = f"true {right}, read {read} ({answered.severity_B[i]:.0%})"
        return Account(title, bool(answered.wrong_B[i]), notes)

    def confusions(self, answered: Answered) -> tuple[np.ndarray, np.ndarray, Sequence[str]]:
        """See `Task`: of symbols that were read as they are, or as others."""
        pairs = [
            pair
            for right_S, read_S in zip(answered.targets, answered.answers, strict=True)
            for pair in _aligned(right_S[right_S >= 0].tolist(), read_S[read_S >= 0].tolist())
            if pair[0] < len(self.vocabulary)
        ]
        right_N, read_N = np.array(pairs, np.int64).reshape(-1, 2).T
        return right_N, read_N, self.vocabulary


def _aligned(right: list[int], read: list[int]) -> Iterator[tuple[int, int]]:
    """Right symbols, each with the one read in its place, where there is one."""
    for edit in Levenshtein.opcodes(right, read):
        if edit.tag in ("equal", "replace"):
            yield from zip(
                right[edit.src_start : edit.src_end],
                read[edit.dest_start : edit.dest_end],
                strict=True,
            )


@dataclasses.dataclass(frozen=True)
class LineOfImages(Lines, Composed):
    """The labels of images in a row, some of which touch or overlap."""

    composition: ClassVar[Rows] = Rows()

    @property
    def vocabulary(self) -> Sequence[str]:
        return self.dataset.classes

    @property
    def question(self) -> Question:
        shape = self.dataset.frame_shape
        return Question(
            "line",
            self.composition.frame_shape(shape),
            self.composition.steps(self.max_length, shape),
            classes=0,
            vocabulary=len(self.vocabulary),
            symbols=self.max_length,
            reads="each",
        )

    def check(self, tested: tuple[int, ...]) -> None:
        """See `Composed`; other lengths may be tested, for lines may be of any length."""
        del tested
        height = self.dataset.frame_shape[0]
        if height > HEIGHT:
            raise UserError(
                f"{self.dataset.name} has images {height} pixels high: expected no more than "
                f"--config.data.height={HEIGHT} to write lines with"
            )
        long = [name for name in self.dataset.classes if len(name) != 1]
        if long:
            raise UserError(
                f"{self.dataset.name} has a class {long[0]!r}: expected names of one symbol each, "
                "as in 0 or a, to write lines with"
            )
        if self.every_step:
            raise UserError(
                f"--config.task.every_step=True is not for the task {self.name}: expected false"
            )

    def training_batch(self, drawn: Drawn, settings: ConfigDict) -> Batch:
        """See `Task`: images change their place and form, then their line the rest.

        Of glyphs, whose usual width is known, lanes are tight.
        """
        of_images = ConfigDict({**settings, **dict.fromkeys(OF_LINES, 0.0)})
        of_lines = ConfigDict({**settings, **dict.fromkeys(OF_IMAGES, 0.0)})
        rows = dataclasses.replace(self.composition, tight=self.dataset.glyphs)
        images = augmented(drawn, of_images)
        frames, labels, lanes = rows.render(images, drawn.labels, drawn.lanes, drawn.scene_keys_B)
        frames = augment_lines(frames, lanes, line_keys(drawn), of_lines)
        return Batch(frames, lanes, labels)

    def mean_frames(self, part: Any) -> float:
        del part
        images = (self.min_length + self.max_length) / 2
        return self.composition.mean_steps(images, self.dataset.frame_shape)

    def targets(self, labels: Array, lanes: Lanes) -> Array:
        """See `Composed`: the labels of each line."""
        del lanes
        return labels

    def scores(
        self,
        targets: np.ndarray,
        answers: Answers,
        lanes: Lanes,
        sequences: int,
        baseline: float | None,
    ) -> dict[str, Any]:
        """See `line_scores`; and per_length, the same of the lines of each number of symbols."""
        del baseline
        right, read = self._texts(self.answered(targets, answers, lanes, sequences))
        of_length: dict[int, list[tuple[str, str]]] = {}
        for pair in zip(right, read, strict=True):
            of_length.setdefault(len(pair[0]), []).append(pair)
        return {
            **line_scores(right, read),
            "per_length": [
                {"length": length, **line_scores(*zip(*pairs, strict=True))}
                for length, pairs in sorted(of_length.items())
            ],
        }

    def answered(
        self, targets: np.ndarray, answers: Answers, lanes: Lanes, sequences: int
    ) -> Answered:
        del lanes

        def lines(x: Any) -> np.ndarray:
            """What stands in M chunks of lines, one line a row."""
            return np.asarray(x).reshape(-1, *x.shape[2:])[:sequences]

        found = Answers(
            lines(answers.answer),
            confidence=lines(answers.confidence),
            whole=lines(answers.whole),
            steps=lines(answers.steps),
        )
        return self.of_lines(lines(targets), found, np.full(sequences, self.question.steps))
