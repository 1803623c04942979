import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from crnn_jax.data.draw import Draw
from crnn_jax.data.feed import FEEDS, Plan
from crnn_jax.distributed import devices

PLAN = Plan(batch_size=8 * 2 * 4, devices=8, micro_batch_size=4, steps_per_dispatch=3)


@pytest.fixture(scope="module")
def draw(optdigits):
    return Draw(seed=0, min_length=1, max_length=4, images=len(optdigits.train.labels_I))


@pytest.fixture(scope="module")
def feeds(optdigits, draw):
    """For each feed: what the compiled step is given in the dispatches from one step on."""
    return {name: reader(feed(optdigits.train, draw, PLAN)) for name, feed in FEEDS.items()}


def given_by(drawn):
    keys = (drawn.dropout_keys, drawn.augmentation_keys_TxN, drawn.scene_keys_B)
    return drawn.images_TxNxHxWxC, drawn.labels, *map(jax.random.key_data, keys)


def reader(feed):
    """Frames, labels and bits of keys, each (step, device, micro-batch, T, N, …)."""

    def dispatch(step, device, source):
        def one_step(step, k):
            batches = lax.map(
                lambda micro_batch: given_by(
                    feed.micro_batch(source, step, k, device, micro_batch)
                ),
                jnp.arange(PLAN.micro_batches),
            )
            return step + 1, lax.all_gather(batches, devices.AXIS)

        return lax.scan(one_step, step, jnp.arange(PLAN.steps_per_dispatch))

    run = devices.pmap(dispatch, feed.source_axis)

    def read(first_step, count):
        step = devices.replicate(np.int32(first_step))
        sources, given = feed.sources(first_step), []
        for _ in range(count):
            step, batches = run(step, devices.local_devices(), next(sources))
            given.append(jax.tree.map(np.asarray, devices.unreplicate(batches)))
        return [np.concatenate(arrays) for arrays in zip(*given, strict=True)]

    return read


@pytest.fixture(scope="module")
def first_steps(feeds):
    """Three dispatches of the resident feed."""
    return feeds["resident"](0, 3)


def test_resident_is_the_draw(first_steps, optdigits, draw):
    frames, labels, *_ = first_steps
    lanes = draw.lanes(PLAN.micro_batch_size)
    image_indices = jax.jit(draw.image_indices)
    for step in range(9):
        indices_BxL = np.asarray(image_indices(step, np.arange(PLAN.batch_size)))
        for device, micro_batch in np.ndindex(8, 2):
            first = 4 * (2 * device + micro_batch)
            indices_TxN = indices_BxL[first + lanes.sequence_TxN, lanes.frame_TxN]
            at = (step, device, micro_batch)
            np.testing.assert_array_equal(frames[at], optdigits.train.images_IxHxWxC[indices_TxN])
            np.testing.assert_array_equal(labels[at], optdigits.train.labels_I[indices_TxN])


@pytest.mark.parametrize(
    ("name", "first_step"), [("streamed", 0), ("streamed", 6), ("resident", 6)]
)
def test_all_feeds_give_the_same_from_any_step(name, first_step, feeds, first_steps):
    given = feeds[name](first_step, 3 - first_step // 3)
    assert [x.dtype for x in given] == [np.uint8, np.int32, *[np.uint32] * 3]
    for found, expected in zip(given, first_steps, strict=True):
        np.testing.assert_array_equal(found, expected[first_step:], strict=True)


def test_plan_divides_the_batch_among_devices_and_micro_batches():
    assert PLAN.micro_batches == 2
    firsts = [PLAN.first_sequence(d, m) for d in range(8) for m in range(2)]
    assert firsts == list(range(0, 64, 4))
