import math
import re

import pytest

from crnn_jax.runs.progress import Progress, print_table


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("TTY_INTERACTIVE", raising=False)


@pytest.fixture
def no_terminal(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


@pytest.mark.usefixtures("no_terminal")
def test_lines_ten_seconds_apart_and_at_the_end(capsys, monkeypatch):
    time = [500.0]
    monkeypatch.setattr("time.monotonic", lambda: time[0])
    with Progress(100, 0) as progress:
        for step in range(1, 101):
            progress.update(step, loss=0.123456, rate=1234.5, seconds_left=3661.4)
            time[0] += 1
    out, err = capsys.readouterr()
    assert out == ""
    steps = [int(re.match(r"step (\d+)/100", line)[1]) for line in err.splitlines()]
    assert steps == [*range(1, 100, 10), 100]
    line = "step 1/100 · loss 0.1235 · 1,234 sequences/s · 1:01:01 left"
    assert err.splitlines()[0] == line


@pytest.mark.usefixtures("no_terminal")
def test_unknown_rate(capsys):
    with Progress(10, 0) as progress:
        progress.update(1, loss=math.nan, rate=math.nan, seconds_left=math.nan)
    assert capsys.readouterr().err == "step 1/10 · loss nan · ? sequences/s · ? left\n"


@pytest.mark.parametrize("fixture", ["terminal", "no_terminal"])
def test_printed_line_is_whole_and_verbatim(fixture, request, capsys):
    request.getfixturevalue(fixture)
    line = "[bold]saved[/bold] :smile: " + "x" * 200
    with Progress(10, 0) as progress:
        progress.update(3, loss=1.0, rate=1.0, seconds_left=1.0)
        progress.print(line)
    out, err = capsys.readouterr()
    assert out == ""
    assert line in plain(err).splitlines()


@pytest.mark.usefixtures("terminal")
def test_bar_shows_the_state_and_leaves_stdout_alone(capsys):
    with Progress(1000, 200) as progress:
        progress.update(321, loss=0.51234, rate=12345.0, seconds_left=36005.0)
        print("to stdout")
    out, err = capsys.readouterr()
    assert out == "to stdout\n"
    assert re.search("step 321/1000 ━+", plain(err))
    assert "loss 0.5123 · 12,345 sequences/s · 10:00:05 left" in plain(err)


@pytest.mark.usefixtures("no_terminal")
def test_table_is_whole_and_plain_in_a_file(capsys):
    value = "v" * 300
    print_table("Result [x]", [("rmse", "0.54"), ("file [red]x", value)])
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    assert [line.split() for line in out.splitlines()] == [
        ["Result", "[x]"],
        ["rmse", "0.54"],
        ["file", "[red]x", value],
    ]
