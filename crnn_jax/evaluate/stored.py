"""Evaluation on stored sequences: each of them once, in lanes, a batch at a time."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from crnn_jax import tasks
from crnn_jax.data.batch import Batch
from crnn_jax.data.dataset import Dataset
from crnn_jax.data.epochs import once
from crnn_jax.data.packing import fill, pack
from crnn_jax.data.sequences import Sequences
from crnn_jax.distributed import devices
from crnn_jax.evaluate.answer import answer
from crnn_jax.model import crnn
from crnn_jax.model.crnn import CRNN
from crnn_jax.model.heads import Answers
from crnn_jax.tasks.stored import Stored
from crnn_jax.tasks.task import Answered

BYTES_AT_ONCE = 4 * 2**20
"""Of frames that a device is given together, about."""


class StoredEvaluation:
    """All sequences of a part, or so many of them that are chosen once."""

    def __init__(
        self,
        network: CRNN,
        task: Stored,
        part: Sequences,
        *,
        most: int,
        seed: int,
        keep: bool = False,
    ) -> None:
        """Prepare the evaluation; it compiles when first called.

        Args:
          network: what to evaluate.
          task: says what is right.
          part: the sequences.
          most: where there are more, so many are chosen.
          seed: of that choice.
          keep: whether to keep the frames in memory for the next time.
        """
        self.network, self.task, self.part, self.keep = network, task, part, keep
        self.chosen = np.arange(len(part))
        if len(part) > most:
            self.chosen = np.sort(np.random.default_rng(seed).permutation(len(part))[:most])
        self.lengths_B = part.lengths_B[self.chosen]
        self.devices = jax.local_device_count()
        frame_bytes = int(np.prod(part.frame_shape))
        share = max(1, int(BYTES_AT_ONCE / (frame_bytes * self.lengths_B.mean())))
        size = self.devices * min(share, max(1, len(self.chosen) // self.devices))
        lengths_M = self.lengths_B
        if len(lengths_M) < size:  # fewer sequences than devices
            lengths_M = np.pad(lengths_M, (0, size - len(lengths_M)))
        batches_MxB, longest_B = once(lengths_M, size)
        batches_MxB[batches_MxB >= len(self.chosen)] = -1
        self.packing = pack(longest_B, self.devices, task.gap)
        # Of each batch the sequences of each device, among the chosen ones; -1 for none.
        self.numbers_MxPxB = batches_MxB[:, self.packing.places_GxB]
        self.compiled: jax.stages.Compiled | None = None
        self.kept: list[tuple[np.ndarray, np.ndarray]] = []
        self.seconds = 0.0

    def __call__(self, params: Any) -> dict[str, Any]:
        """Score the answers to all sequences with these parameters.

        Returns:
          See `Stored.score`; and seconds, without compilation.
        """
        return {**self.task.score(self.answered(params)), "seconds": self.seconds}

    def answered(self, params: Any) -> Answered:
        """Answer all sequences with these parameters; one sequence a row."""
        params, found = jax.device_get(params), []
        start = time.perf_counter()
        compiling = 0.0
        for frames, length_PxB in self._inputs():
            inputs = (np.arange(self.devices), frames, length_PxB)
            if self.compiled is None:
                begun = time.perf_counter()
                mapped = devices.over_local_devices(self._answer_share)
                self.compiled = devices.compile_quickly(mapped.lower(inputs, params, None))
                compiling = time.perf_counter() - begun
            answers = jax.device_get(self.compiled(inputs, params, None))
            found += [self._rows(answers, *share) for share in enumerate(length_PxB)]
        numbers = self.numbers_MxPxB.reshape(-1)
        (there,) = np.nonzero(numbers >= 0)
        in_order = there[np.argsort(numbers[there])]
        rows = jax.tree.map(lambda *x: np.concatenate(x)[in_order], *found)
        self.seconds = time.perf_counter() - start - compiling
        return self.task.answered(self._right(), rows, self.lengths_B)

    def _rows(self, answers: Answers, device: int, length_B: np.ndarray) -> Answers:
        """A device's answers about its share of a batch, one sequence a row."""
        answers = jax.tree.map(lambda x: x[device], answers)
        lanes = self.packing.lanes(device, length_B)
        return self.task.rows(answers, lanes, int(self.lengths_B.max()))

    def _right(self) -> np.ndarray:
        """The right answers about the chosen sequences."""
        answers, part = self.part.answers, self.part
        if not self.task.per_frame:
            return self.task.encode(answers[self.chosen])
        firsts = part.offsets_B[self.chosen]
        return np.concatenate(
            [answers[a : a + n] for a, n in zip(firsts, self.lengths_B, strict=True)]
        )

    def batches(self) -> Iterator[Batch]:
        """The sequences and their right answers; a batch for each device."""
        right = self._right()
        for numbers_PxB in self.numbers_MxPxB:
            shares = zip(numbers_PxB, *self._read(numbers_PxB), strict=True)
            for device, (numbers_B, frames_TxNxHxWxC, length_B) in enumerate(shares):
                lanes = self.packing.lanes(device, length_B)
                yield Batch(frames_TxNxHxWxC, lanes, right[numbers_B])

    def _inputs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frames PxTxNxHxWxC and lengths PxB of each batch, read while the one before runs."""
        if self.kept:
            yield from self.kept
            return
        with ThreadPoolExecutor(1) as pool:
            reading = [pool.submit(self._read, self.numbers_MxPxB[0])]
            for following in (*self.numbers_MxPxB[1:], None):
                inputs = reading.pop().result()
                if following is not None:
                    reading.append(pool.submit(self._read, following))
                if self.keep:
                    self.kept.append(inputs)
                yield inputs

    def _read(self, numbers_PxB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        steps, lanes = self.packing.steps, self.packing.lanes_GxNxP.shape[1]
        length_PxB = np.where(numbers_PxB >= 0, self.lengths_B[numbers_PxB], 0).astype(np.int32)
        frames = np.zeros((self.devices, steps, lanes, *self.part.frame_shape), np.uint8)
        for device, numbers_B in enumerate(numbers_PxB):
            places = self.packing.lanes(device, length_PxB[device])
            (there,) = np.nonzero(numbers_B >= 0)
            clips = self.part.read(self.chosen[numbers_B[there]].tolist())
            fill(frames[device], places, there, clips)
        return frames, length_PxB

    def _answer_share(
        self, inputs: tuple[Array, Array, Array], params: Any, nothing: None
    ) -> Answers:
        """One device's answers about its share of a batch."""
        del nothing
        device, frames_TxNxHxWxC, length_B = inputs
        lanes = self.packing.lanes(device, length_B)
        return answer(self.network, params, Batch(frames_TxNxHxWxC, lanes, None))


def validation(
    network: CRNN, task: Stored, config: ConfigDict, dataset: Dataset
) -> StoredEvaluation:
    """The evaluation on the validation part that a config asks for."""
    return StoredEvaluation(
        network,
        task,
        dataset.validation,
        most=config.eval.validation_sequences,
        seed=config.eval.seed,
        keep=config.data.feed == "resident",
    )


def test(config: ConfigDict, dataset: Dataset, params: Any) -> dict[str, Any]:
    """The results on the test part; see `evaluate_test`."""
    task: Any = tasks.build(config, dataset.info)
    network = crnn.build(config.model, task.question)
    most, seed = config.eval.test_sequences, config.eval.seed
    return StoredEvaluation(network, task, dataset.test, most=most, seed=seed)(params)
