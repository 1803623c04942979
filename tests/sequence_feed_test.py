import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from crnn_jax.data.feed import Plan
from crnn_jax.data.sequence_feed import SEQUENCE_FEEDS
from crnn_jax.distributed import devices
from tests.sequences import sequences

PLAN = Plan(batch_size=32, devices=8, micro_batch_size=2, steps_per_dispatch=3)


@pytest.fixture(scope="module", params=["class", "numbers"])
def part(request):
    return request.param, sequences(count=70, kind=request.param)


def given(name, part, first_step, count):
    """What the compiled step gets: each array (step, device, micro-batch, …)."""
    kind, part = part
    per_frame = kind == "numbers"
    feed = SEQUENCE_FEEDS[name](part, part.answers, PLAN, seed=5, per_frame=per_frame)

    def dispatch(step, device, source):
        def micro_batch(step, k, number):
            drawn = feed.micro_batch(source, step, k, device, number)
            keys = map(jax.random.key_data, (drawn.dropout_keys, drawn.augmentation_keys_TxN))
            answers = drawn.labels if per_frame else drawn.labels[drawn.lanes.sequence_TxN]
            answers = jnp.where(drawn.lanes.real_TxN, answers, 0)
            return drawn.images_TxNxHxWxC, answers, drawn.lanes.real_TxN, *keys

        def one_step(step, k):
            numbers = jnp.arange(PLAN.micro_batches)
            found = lax.map(lambda number: micro_batch(step, k, number), numbers)
            return step + 1, lax.all_gather(found, devices.AXIS)

        return lax.scan(one_step, step, jnp.arange(PLAN.steps_per_dispatch))

    run, sources = devices.pmap(dispatch, feed.source_axis), feed.sources(first_step)
    step, found = devices.replicate(np.int32(first_step)), []
    for _ in range(count):
        step, batches = run(step, devices.local_devices(), next(sources))
        found.append(jax.tree.map(np.asarray, devices.unreplicate(batches)))
    return feed, [np.concatenate(arrays) for arrays in zip(*found, strict=True)]


def test_streamed_is_resident_from_any_step(part):
    feed, expected = given("resident", part, 0, 3)
    for name, first in (("streamed", 0), ("streamed", 6), ("resident", 6)):
        _, found = given(name, part, first, 3 - first // 3)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b[first:], strict=True)
    # And both are the sequences of the epochs, with their answers.
    kind, part = part
    frames, answers, *_ = expected
    for step, group in np.ndindex(9, 16):
        numbers_B = feed.epochs.sequences(step)[feed.packing.places_GxB[group]]
        lanes = feed.packing.lanes(group, part.lengths_B[numbers_B])
        place = (step, *divmod(group, PLAN.micro_batches))
        for b, clip in enumerate(part.read(numbers_B)):
            first, number = lanes.first_B[b], numbers_B[b]
            at = (slice(first, first + len(clip)), lanes.lane_B[b])
            np.testing.assert_array_equal(frames[place][at], clip)
            offset = part.offsets_B[number]
            right = part.answers[offset : offset + len(clip)] if kind == "numbers" else None
            right = np.full(len(clip), part.answers[number]) if right is None else right
            np.testing.assert_array_equal(answers[place][at], right)
        assert not frames[place][~lanes.real_TxN].any()


def test_keys_are_those_of_the_place_and_clips_are_changed_as_a_whole(part):
    """Whatever device computes a sequence, it is changed in the same way."""
    feed, (_, _, real, dropout, augmentation) = given("resident", part, 0, 1)
    for step, group in np.ndindex(2, 16):
        place = (step, *divmod(group, PLAN.micro_batches))
        numbers_B = feed.epochs.sequences(step)[feed.packing.places_GxB[group]]
        lanes = feed.packing.lanes(group, part[1].lengths_B[numbers_B])
        for b, in_batch in enumerate(feed.packing.places_GxB[group]):
            frames = lanes.sequence_TxN == b
            key = jax.random.key(5)
            for number in (step, in_batch, 2):
                key = jax.random.fold_in(key, number)
            assert (augmentation[place][frames] == np.asarray(jax.random.key_data(key))).all()
    keys = dropout[real].reshape(-1, 2)
    assert len(np.unique(keys, axis=0)) == len(keys)  # every frame has a key of its own
