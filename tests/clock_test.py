import json
import math

import pytest

from crnn_jax.runs.clock import Clock


class Time:
    """A time that moves only when told to."""

    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


def test_counts_only_between_start_and_stop():
    time = Time()
    clock = Clock(now=time)
    time.seconds += 5  # compiling
    assert clock.seconds == 0
    clock.start()
    time.seconds += 3
    assert clock.seconds == 3
    clock.stop()
    time.seconds += 7
    clock.stop()
    assert clock.seconds == 3
    clock.start()
    time.seconds += 1
    clock.start()  # no effect
    time.seconds += 1
    assert clock.seconds == 5


def test_pause_leaves_out_its_block_even_nested():
    time = Time()
    clock = Clock(now=time)
    clock.start()
    with clock.paused():
        time.seconds += 10
        with clock.paused():
            time.seconds += 10
        time.seconds += 10
    time.seconds += 2
    assert clock.seconds == 2


def test_pause_ends_on_an_error():
    time = Time()
    clock = Clock(now=time)
    clock.start()

    def fail():
        with clock.paused():
            time.seconds += 10
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    time.seconds += 2
    assert clock.seconds == 2


def test_pause_does_not_start_a_standing_clock():
    time = Time()
    clock = Clock(now=time)
    with clock.paused():
        pass
    time.seconds += 10
    assert clock.seconds == 0


def test_rate_is_of_recent_ticks_and_leaves_out_pauses():
    time = Time()
    clock = Clock(now=time)
    clock.start()
    for _ in range(100):  # slow at first, longer ago than what counts
        time.seconds += 8
        clock.tick(1)
    for seconds in [1, 3] * 30:
        time.seconds += seconds
        with clock.paused():
            time.seconds += 100
        clock.tick(10)
    assert clock.rate == 5
    assert clock.steps == 700
    assert clock.remaining(1000) == 60


def test_unknown_rate_is_nan_and_nothing_remains_at_the_end():
    time = Time()
    clock = Clock(seconds=50.0, steps=100, now=time)
    assert math.isnan(clock.rate)
    assert math.isnan(clock.remaining(200))
    clock.start()
    time.seconds += 1
    clock.tick(0)
    assert math.isnan(clock.remaining(200))
    assert clock.remaining(100) == 0
    assert clock.remaining(90) == 0


def test_survives_a_restart():
    time = Time()
    clock = Clock(now=time)
    clock.start()
    time.seconds += 2.5
    clock.tick(20)
    restored = Clock.from_state(json.loads(json.dumps(clock.state())))
    assert (restored.seconds, restored.steps) == (2.5, 20)
    assert restored.state() == clock.state()
    assert math.isnan(restored.rate)  # another machine, perhaps
