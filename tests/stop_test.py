"""Signals: noted while a run trains, and obeyed where nothing is lost."""

import os
import signal

import numpy as np
import pytest

from crnn_jax.distributed import devices, processes
from crnn_jax.runs.stop import Stop, Stopped


@pytest.fixture(autouse=True)
def hang_up():
    """Lets SIGHUP arrive where the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


NUMBERS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_is_noted_and_the_next_ctrl_c_ends_the_process(number, capsys):
    before = {n: signal.getsignal(n) for n in NUMBERS}
    with Stop() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.signal == number
        assert capsys.readouterr().err == ""  # what it interrupts may be printing
        assert stop.agreed(devices.replicate(np.zeros(2)))
        assert capsys.readouterr().err.count("\n") == 1
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
        os.kill(os.getpid(), signal.SIGTERM)  # schedulers may send it again
        assert stop.signal == number
        assert stop.agreed(devices.replicate(np.zeros(2)))
        assert capsys.readouterr().err == ""
    assert {n: signal.getsignal(n) for n in before} == before


def test_what_nohup_has_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stop() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_is_said_names_signal_and_step():
    stopped = Stopped(signal.SIGTERM, 40)
    assert stopped.signal == 15
    assert str(stopped).startswith("stopped by SIGTERM after step 40: checkpoint saved")


def test_one_process_alone_stops_at_once():
    with Stop() as stop:
        assert not stop.agreed(devices.replicate(np.ones(2)))
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.agreed(devices.replicate(np.zeros(2)))


def test_several_processes_go_by_the_dispatch_before(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 2)
    stop = Stop()
    stop.signal = signal.SIGTERM
    flags = [devices.replicate(np.float32(x)) for x in ([0, 0], [0, 0.5], [0, 0])]
    assert [stop.agreed(x) for x in flags] == [False, False, True]
