"""Signals: noted while a run trains, and obeyed where nothing is lost."""

import os
import signal

import pytest

from crnn_jax.runs.stop import Stop, Stopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_noted_and_the_next_ctrl_c_ends_the_process(number, capsys):
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    with Stop() as stop:
        assert stop.signal is None
        os.kill(os.getpid(), number)
        assert stop.signal == number
        assert capsys.readouterr().err.count("\n") == 1
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
        os.kill(os.getpid(), signal.SIGTERM)  # schedulers may send it again
        assert stop.signal == number
        assert capsys.readouterr().err == ""
    assert {n: signal.getsignal(n) for n in before} == before


def test_what_is_said_names_signal_and_step():
    stopped = Stopped(signal.SIGTERM, 40)
    assert stopped.signal == 15
    assert str(stopped).startswith("stopped by SIGTERM after step 40, which is saved: ")
