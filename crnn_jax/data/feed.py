"""How drawn sequences reach the device: two feeds, one protocol, bit-identical micro-batches.

`Resident` keeps the whole corpus on the device and gathers inside the compiled step: nothing
crosses from the host while training. `Streamed` gathers on the host, ahead of time and in
threads, for corpora larger than the device's memory.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from crnn_jax.data.batch import Drawn
from crnn_jax.data.draw import AUGMENTATION, DROPOUT, SCENE, Draw
from crnn_jax.data.lanes import Lanes
from crnn_jax.data.split import Split
from crnn_jax.distributed import devices


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a global batch is divided.

    Attributes:
      batch_size: sequences of a step, over all devices.
      devices: devices of all processes.
      micro_batch_size: sequences encoded at once on one device.
      steps_per_dispatch: steps that one call of the compiled function makes.
    """

    batch_size: int
    devices: int
    micro_batch_size: int
    steps_per_dispatch: int

    @property
    def micro_batches(self) -> int:
        """Micro-batches of one step on one device."""
        return self.batch_size // self.devices // self.micro_batch_size

    def first_sequence(self, device: Any, micro_batch: Any) -> Any:
        """Index in the global batch of a micro-batch's first sequence."""
        return (device * self.micro_batches + micro_batch) * self.micro_batch_size


class Feed(Protocol):
    """What the training step needs of a feed."""

    @property
    def source_axis(self) -> Any:
        """The axis of `sources` that is split over local devices; None where all share it.

        Or one for each of several sources.
        """
        ...

    def sources(self, first_step: int) -> Iterator[Any]:
        """On the host: what each dispatch is given, beginning with the one at `first_step`."""
        ...

    def micro_batch(
        self, source: Any, step: Array, k: Array, device: Array, micro_batch: Array
    ) -> Drawn:
        """Inside the compiled step: the images of a micro-batch.

        Args:
          source: this device's part of what `sources` gave.
          step: the training step.
          k: the step's number within its dispatch.
          device: number of the device.
          micro_batch: number of the micro-batch on this device.
        """
        ...


class Resident:
    """All images on every device; gathered there."""

    source_axis: Any = None

    def __init__(self, split: Split, draw: Draw, plan: Plan) -> None:
        self.draw, self.plan = draw, plan
        self.lanes = draw.lanes(plan.micro_batch_size)
        self.corpus = devices.replicate((split.images_IxHxWxC, split.labels_I))

    def sources(self, first_step: int) -> Iterator[tuple[Array, Array]]:
        """Yield the resident images forever."""
        del first_step
        while True:
            yield self.corpus

    def micro_batch(
        self, source: tuple[Array, Array], step: Array, k: Array, device: Array, micro_batch: Array
    ) -> Drawn:
        """See `Feed`."""
        del k
        images_IxHxWxC, labels_I = source
        first = self.plan.first_sequence(device, micro_batch)
        indices_TxN = lane_images(self.draw, self.lanes, step, first)
        images = (images_IxHxWxC[indices_TxN], labels_I[indices_TxN])
        return _drawn(*images, self.draw, self.lanes, step, first)


class Streamed:
    """Gathered on the host by Grain's threads, two dispatches ahead."""

    source_axis: Any = 0

    def __init__(self, split: Split, draw: Draw, plan: Plan) -> None:
        self.draw, self.plan = draw, plan
        self.lanes = draw.lanes(plan.micro_batch_size)
        self.batches = _Dispatches(split, draw, plan)

    def sources(self, first_step: int) -> Iterator[tuple[Array, Array]]:
        """Frames and labels of one dispatch after the other, one slice a local device."""
        import grain  # half a second, which a resident corpus need not wait for

        dispatches = grain.MapDataset.source(self.batches)[
            first_step // self.plan.steps_per_dispatch :
        ]
        options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=2)
        return map(devices.shard, dispatches.to_iter_dataset(options))

    def micro_batch(
        self, source: tuple[Array, Array], step: Array, k: Array, device: Array, micro_batch: Array
    ) -> Drawn:
        """See `Feed`."""
        frames_JxAxTxNxHxWxC, labels_JxAxTxN = source
        first = self.plan.first_sequence(device, micro_batch)
        images = (frames_JxAxTxNxHxWxC[k, micro_batch], labels_JxAxTxN[k, micro_batch])
        return _drawn(*images, self.draw, self.lanes, step, first)


class _Dispatches:
    """Random access to the dispatches of a run, for Grain: a pure function of their number."""

    def __init__(self, split: Split, draw: Draw, plan: Plan) -> None:
        self.split, self.plan = split, plan
        lanes = draw.lanes(plan.micro_batch_size)

        def indices(step: Array, first: Array) -> Array:
            return lane_images(draw, lanes, step, first)

        over_micro_batches = jax.vmap(indices, in_axes=(None, 0))
        self.indices = jax.jit(jax.vmap(over_micro_batches, in_axes=(0, None)))

    def __len__(self) -> int:
        return np.iinfo(np.int32).max // self.plan.steps_per_dispatch

    def __getitem__(self, dispatch: int) -> tuple[np.ndarray, np.ndarray]:
        plan = self.plan
        steps_J = dispatch * plan.steps_per_dispatch + np.arange(plan.steps_per_dispatch)
        firsts_A = np.arange(plan.micro_batches)
        # The draw is made on the CPU, so that it does not wait behind the step on the device.
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            indices_PxJxAxTxN = np.stack(
                [
                    self.indices(steps_J, plan.first_sequence(device, firsts_A))
                    for device in devices.local_devices()
                ]
            )
        return self.split.images_IxHxWxC[indices_PxJxAxTxN], self.split.labels_I[indices_PxJxAxTxN]


def lane_images(draw: Draw, lanes: Lanes, step: int | Array, first_sequence: int | Array) -> Array:
    """Indices TxN of the images in the lanes of the sequences from `first_sequence` on."""
    sequences_B = first_sequence + jnp.arange(lanes.count)
    indices_BxL = draw.image_indices(step, sequences_B)
    return indices_BxL[lanes.sequence_TxN, lanes.frame_TxN]


def _drawn(
    images_TxNxHxWxC: Array,
    labels_TxN: Array,
    draw: Draw,
    lanes: Lanes,
    step: Array,
    first_sequence: Array,
) -> Drawn:
    """The images with their keys: a lane's is its first sequence's, for lanes are not divided."""
    sequences_TxN = first_sequence + lanes.sequence_TxN

    def keys(sequences: Array, purpose: int) -> Array:
        return jax.vmap(draw.key, (None, 0, None))(step, sequences, purpose)

    def image_key(sequence: Array, frame: Array | np.ndarray) -> Array:
        return jax.random.fold_in(draw.key(step, sequence, AUGMENTATION), frame)

    return Drawn(
        images_TxNxHxWxC,
        labels_TxN,
        lanes,
        keys(sequences_TxN[0], DROPOUT),
        jax.vmap(jax.vmap(image_key))(sequences_TxN, lanes.frame_TxN),
        keys(first_sequence + jnp.arange(lanes.count), SCENE),
    )


FEEDS: dict[str, type[Resident] | type[Streamed]] = {"resident": Resident, "streamed": Streamed}
"""The feed of a config, by its `data.feed`."""
