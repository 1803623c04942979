"""How stored sequences reach the device: two feeds, as `feed.py` has them for drawn ones.

Both know the lengths and the answers of all sequences on the device, so that each dispatch is told
the numbers of its sequences alone; `ResidentSequences` has their frames there too,
`StreamedSequences` reads them ahead of time, in threads.
"""

import abc
from collections.abc import Iterator
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from crnn_jax.data.batch import Drawn
from crnn_jax.data.draw import AUGMENTATION, DROPOUT, sequence_key
from crnn_jax.data.epochs import Epochs
from crnn_jax.data.feed import Plan
from crnn_jax.data.lanes import Lanes
from crnn_jax.data.packing import Packing, fill, pack
from crnn_jax.data.sequences import Sequences
from crnn_jax.distributed import devices


@flax.struct.dataclass
class Known:
    """What is known of all M sequences without their frames.

    Attributes:
      lengths_M: in frames.
      offsets_M: the first frame of each among those of all.
      answers: one for each sequence, M or MxS; or one for each frame of all sequences.
      per_frame: whether there is one for each frame.
    """

    lengths_M: Array | np.ndarray
    offsets_M: Array | np.ndarray
    answers: Array | np.ndarray
    per_frame: bool = flax.struct.field(pytree_node=False)

    @classmethod
    def of(cls, part: Sequences, answers: np.ndarray, *, per_frame: bool) -> "Known":
        """Of a part of a data set; `answers` are in the form that the task trains on."""
        return cls(part.lengths_B, part.offsets_B.astype(np.int32), answers, per_frame)

    def frames(self, sequences_B: Array, lanes: Lanes) -> Array:
        """Numbers TxN of the frames in lanes; 0 where there is none."""
        first_B = self.offsets_M[sequences_B]
        return jnp.where(lanes.real_TxN, first_B[lanes.sequence_TxN] + lanes.frame_TxN, 0)

    def answers_of(self, sequences_B: Array, lanes: Lanes) -> Array:
        """The answers about these sequences: B or BxS; or for each frame, TxN."""
        if self.per_frame:
            return self.answers[self.frames(sequences_B, lanes)]
        return self.answers[sequences_B]


class SequenceFeed(abc.ABC):
    """What both feeds have in common: the order, the lanes and the keys.

    Attributes:
      packing: the plan of the lanes.
      epochs: the order of the sequences.
    """

    def __init__(
        self,
        part: Sequences,
        answers: np.ndarray,
        plan: Plan,
        seed: int,
        *,
        per_frame: bool,
        gap: int = 0,
    ) -> None:
        self.part, self.plan, self.seed = part, plan, seed
        self.epochs = Epochs(part.lengths_B, plan.batch_size, seed)
        groups = plan.devices * plan.micro_batches
        self.packing: Packing = pack(self.epochs.longest_B, groups, gap)
        known = Known.of(part, answers, per_frame=per_frame)
        self.known: Known = devices.replicate(known)

    def numbers(self, dispatch: int) -> np.ndarray:
        """Numbers JxGxB of the sequences of a dispatch, in the groups of each of its steps."""
        first = dispatch * self.plan.steps_per_dispatch
        steps = range(first, first + self.plan.steps_per_dispatch)
        return np.stack(
            [self.epochs.sequences(step)[self.packing.places_GxB] for step in steps]
        ).astype(np.int32)

    def group(self, device: Any, micro_batch: Any) -> Any:
        """Number of the group that a micro-batch of a device is."""
        return device * self.plan.micro_batches + micro_batch

    def micro_batch(
        self, source: Any, step: Array, k: Array, device: Array, micro_batch: Array
    ) -> Drawn:
        """See `Feed`; keys follow from the places in the batch, whoever computes it."""
        held, known, numbers_JxGxB = source
        group = self.group(device, micro_batch)
        sequences_B = numbers_JxGxB[k, group]
        lanes = self.packing.lanes(group, known.lengths_M[sequences_B])
        numbers_TxN = known.frames(sequences_B, lanes)
        frames_TxNxHxWxC = self.frames(held, (k, micro_batch), numbers_TxN, lanes)
        place_TxN = jnp.asarray(self.packing.places_GxB)[group][lanes.sequence_TxN]

        def keys(purpose: int) -> Array:
            key_of = jax.vmap(sequence_key, (None, None, 0, None))
            return jax.vmap(key_of, (None, None, 0, None))(self.seed, step, place_TxN, purpose)

        return Drawn(
            frames_TxNxHxWxC,
            known.answers_of(sequences_B, lanes),
            lanes,
            jax.vmap(jax.vmap(jax.random.fold_in))(keys(DROPOUT), lanes.frame_TxN),
            keys(AUGMENTATION),
        )

    @abc.abstractmethod
    def frames(
        self, held: Array, place: tuple[Array, Array], numbers_TxN: Array, lanes: Lanes
    ) -> Array:
        """The frames TxNxHxWxC of a micro-batch; black where there is none.

        Args:
          held: the frames that this device was given.
          place: number of the step within its dispatch, and of the micro-batch on this device.
          numbers_TxN: of the frames, among those of all sequences.
          lanes: where they stand.
        """


class ResidentSequences(SequenceFeed):
    """All frames on every device; gathered there."""

    source_axis: Any = None

    def sources(self, first_step: int) -> Iterator[Any]:
        """Yield the resident frames forever, with the numbers of each dispatch."""
        frames_FxHxWxC = devices.replicate(self.part.frames())
        dispatch = first_step // self.plan.steps_per_dispatch
        while True:
            yield frames_FxHxWxC, self.known, devices.replicate(self.numbers(dispatch))
            dispatch += 1

    def frames(
        self, held: Array, place: tuple[Array, Array], numbers_TxN: Array, lanes: Lanes
    ) -> Array:
        """See `SequenceFeed`; gathered from all frames, FxHxWxC."""
        del place
        return jnp.where(lanes.real_TxN[..., None, None, None], held[numbers_TxN], 0)


class StreamedSequences(SequenceFeed):
    """Read on the host by Grain's threads, two dispatches ahead."""

    source_axis: Any = (0, None, None)

    def sources(self, first_step: int) -> Iterator[Any]:
        """The frames of one dispatch after the other, one slice a local device."""
        import grain  # half a second, which a resident corpus need not wait for

        dispatches = grain.MapDataset.source(self)[first_step // self.plan.steps_per_dispatch :]
        options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=2)
        for frames_PxJxAxTxNxHxWxC, numbers_JxGxB in dispatches.to_iter_dataset(options):
            frames = devices.shard(frames_PxJxAxTxNxHxWxC)
            yield frames, self.known, devices.replicate(numbers_JxGxB)

    def __len__(self) -> int:
        """Dispatches of a run without end."""
        return np.iinfo(np.int32).max // self.plan.steps_per_dispatch

    def __getitem__(self, dispatch: int) -> tuple[np.ndarray, np.ndarray]:
        """The frames of a dispatch, PxJxAxTxNxHxWxC, and the numbers JxGxB of its sequences."""
        numbers_JxGxB, plan = self.numbers(dispatch), self.plan
        shape = (self.packing.steps, self.packing.lanes_GxNxP.shape[1])
        local = devices.local_devices()
        places = (len(local), plan.steps_per_dispatch, plan.micro_batches)
        frames = np.zeros((*places, *shape, *self.part.frame_shape), np.uint8)
        for p, j, a in np.ndindex(*places):
            group = self.group(local[p], a)
            sequences_B = numbers_JxGxB[j, group]
            lanes = self.packing.lanes(group, self.part.lengths_B[sequences_B])
            clips = self.part.read(sequences_B.tolist())
            fill(frames[p, j, a], lanes, range(len(clips)), clips)
        return frames, numbers_JxGxB

    def frames(
        self, held: Array, place: tuple[Array, Array], numbers_TxN: Array, lanes: Lanes
    ) -> Array:
        """See `SequenceFeed`; of a dispatch's, JxAxTxNxHxWxC, which the host has laid out."""
        del numbers_TxN, lanes
        return held[place]


SEQUENCE_FEEDS: dict[str, type[ResidentSequences] | type[StreamedSequences]] = {
    "resident": ResidentSequences,
    "streamed": StreamedSequences,
}
"""The feed of stored sequences, by a config's `data.feed`."""
