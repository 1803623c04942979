"""A fault campaign: what happens to jobs, done to a real run, again and again.

python -m tests.torture --config=configs/sum8.py --kills=50 --terms=20 --damages=100

Every disturbed run is compared with an undisturbed one: the bytes of metrics.jsonl, and the bits of
the last parameters and of the optimizer's state. Exits with status 1 if a fault was survived badly.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from crnn_jax import UserError
from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.runs.progress import print_table
from crnn_jax.runs.steps import StoredSteps

# A loss that is NaN at one step; then the command line as it is.
WITH_NAN = """
import sys
import jax.numpy as jnp
from crnn_jax import main
from crnn_jax.train import trainer

def update(self, state, *given):
    factor = jnp.where(state.step == {step}, jnp.nan, 1)
    self._loss = lambda *of: loss(self, *of) * factor
    return whole(self, state, *given)

loss, whole = trainer.Trainer._loss, trainer.Trainer._update
trainer.Trainer._update = update
sys.exit(main.main(sys.argv[1:]))
"""


class Campaign:
    """A config's undisturbed run, and runs like it to disturb.

    Attributes:
      folder: of all runs.
      rows: what was done, and how it was survived.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, env: dict[str, str]) -> None:
        self.arguments, self.folder, self.env = list(arguments), folder, env
        self.rows: list[tuple[str, str]] = []
        self.failed = False
        self.random = random.Random(0)
        status, said = self.end(self.start("straight"))
        assert status == 0, said
        self.straight = left_by(folder / "straight")

    def start(self, name: str, program: str | None = None) -> subprocess.Popen[str]:
        """Starts a run in a folder of that name, by another program if one is given."""
        how = ["-m", "crnn_jax.main"] if program is None else ["-c", program]
        return subprocess.Popen(
            [sys.executable, *how, *self.arguments, f"--workdir={self.folder / name}"],
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """Waits for a run's end: its exit status, and what it said."""
        said = process.communicate(timeout=3600)[1]
        return process.returncode, said

    def same(self, name: str) -> bool:
        """Whether a run has ended as the straight one has; says what differs."""
        found = left_by(self.folder / name)
        for part in found:
            if found[part] != self.straight[part]:
                print(f"{name}: other {part} than the straight run", file=sys.stderr)
        return found == self.straight

    def row(self, what: str, good: int, count: int, note: str, said: str = "") -> None:
        """Takes down that so many of so many were survived well; shows what was said if not."""
        if good != count:
            self.failed = True
            print(said, file=sys.stderr)
        self.rows.append((what, f"{good} of {count} · {note}"))
        print(f"{what}: {good} of {count} · {note}", file=sys.stderr, flush=True)

    def kills_and_terms(self, kills: int, terms: int, within: tuple[float, float]) -> None:
        """A run killed and stopped at random moments, from its start to beyond its saves.

        A run that ends in between is compared, and followed by another.

        Args:
          kills: how often by SIGKILL, at any moment after the start of the process.
          terms: how often by SIGTERM, at any moment after its first step.
          within: seconds that a SIGKILL and a SIGTERM may wait for their moments.
        """
        left = [signal.SIGKILL] * kills + [signal.SIGTERM] * terms
        self.random.shuffle(left)
        good = dict.fromkeys(left, 0)
        resumed, slowest, runs, starts = 0, 0.0, 1, 0
        while left:
            starts += 1
            assert starts < 3 * (kills + terms) + 10, "runs end before the signals come"
            number, name = left[-1], f"disturbed-{runs}"
            process = self.start(name)
            if number == signal.SIGTERM:
                self.until_it_trains(name, process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.random.uniform(0, within[number == signal.SIGTERM]))
            process.send_signal(number)
            began = time.monotonic()
            status, said = self.end(process)
            resumed += "resuming the run" in said
            if (self.folder / name / "results.json").exists():
                assert self.same(name), f"{name} did not end as the straight run"
                runs += 1
                continue
            if status == -signal.SIGTERM:
                continue  # its last step was saved; it was being tested
            left.pop()
            if number == signal.SIGTERM:
                slowest = max(slowest, time.monotonic() - began)
                good[number] += status == 143 and slowest < 10
            else:
                good[number] += status == -signal.SIGKILL
        status, said = self.end(self.start(f"disturbed-{runs}"))
        same = status == 0 and self.same(f"disturbed-{runs}")
        note = f"{resumed} starts resumed; {'' if same else 'NOT '}the end of the straight run"
        if kills:
            self.row("kill -9 at a random moment", good[signal.SIGKILL] * same, kills, note, said)
        if terms:
            note += f"; status 143 within {slowest:.1f} s"
            self.row("SIGTERM while it trains", good[signal.SIGTERM] * same, terms, note, said)

    def until_it_trains(self, name: str, process: subprocess.Popen[str]) -> None:
        """Waits for the first metrics that this process writes."""
        path = self.folder / name / "metrics.jsonl"
        began = time.time()
        while process.poll() is None:
            with contextlib.suppress(OSError):
                # Opening the file drops lines; the first line after it is what counts.
                if path.stat().st_mtime > began and self.has_lock(name) and path.stat().st_size:
                    return
            time.sleep(0.05)

    def has_lock(self, name: str) -> bool:
        """Whether a process says that it holds the run's lock."""
        return bool((self.folder / name / "lock").read_text())

    def damages(self, count: int) -> None:
        """Checkpoint folders damaged in one place; each must be found, and none restored."""
        source = self.folder / "straight" / "checkpoints"
        with StoredSteps(source) as checkpoints:
            whole = {step: bits(checkpoints.restore(step, None)[1]) for step in checkpoints.steps}
        newest, good, kinds = max(whole), 0, list(DAMAGES)
        for i in range(count):
            folder = self.folder / "damaged"
            shutil.copytree(source, folder)
            kind = kinds[i % len(kinds)]
            DAMAGES[kind](folder, newest, self.random)
            said: list[str] = []
            with Checkpoints(folder, keep_latest=9, keep_best=0, say=said.append) as checkpoints:
                step, state, _ = checkpoints.restore("latest", None)
            kept = kind in ("a leftover temporary", "an empty numbered folder")
            found = kind == "a leftover temporary" or (len(said) == 1 and "set aside" in said[0])
            found |= kind == "a step deleted"
            good += found and step == (newest if kept else max(whole.keys() - {newest}))
            good -= bits(state) != whole[step]
            shutil.rmtree(folder)
        self.row(
            "damaged checkpoint folders", good, count, "found; restored from the newest good step"
        )

    def nothing_good(self) -> None:
        """All steps damaged: the run refuses to begin anew."""
        name = "nothing-good"
        shutil.copytree(self.folder / "straight", self.folder / name)
        (self.folder / name / "results.json").unlink()
        for step in list_steps(self.folder / name):
            flip(largest(step), self.random)
        status, said = self.end(self.start(name))
        last = said.splitlines()[-1]
        good = status == 2 and last.startswith("error: no good checkpoint in ")
        self.row("all checkpoints damaged", int(good), 1, "refused in one line", said)

    def carried_on(self) -> None:
        """The newest step damaged: the run goes on from the one before, to the same end."""
        name = "carried-on"
        shutil.copytree(self.folder / "straight", self.folder / name)
        (self.folder / name / "results.json").unlink()
        flip(largest(max(list_steps(self.folder / name), key=number_of)), self.random)
        status, said = self.end(self.start(name))
        good = status == 0 and "set aside as" in said
        good = good and self.same(name)
        self.row(
            "newest checkpoint damaged", int(good), 1, "the end is that of the straight run", said
        )

    def disk_full(self) -> None:
        """A limit on the size of files, below that of a checkpoint's, stands in for a full disk."""
        name = "disk-full"
        largest_file = largest(max(list_steps(self.folder / "straight"), key=number_of))
        limit = largest_file.stat().st_size // 2
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        process = self.start(name)  # which inherits the limit
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        status, said = self.end(process)
        good = status == 1 and any(
            line.startswith("error: step ") and "cannot be saved" in line
            for line in said.splitlines()
        )
        status, _ = self.end(self.start(name))
        good = good and status == 0 and self.same(name)
        note = "said, status 1; with room again, the end is that of the straight run"
        self.row("disk full", int(good), 1, note, said)

    def two_writers(self) -> None:
        """A second process in the folder of one that trains."""
        name = "two-writers"
        first = self.start(name)
        self.until_it_trains(name, first)
        first.send_signal(signal.SIGSTOP)  # so that it does not end before the second has tried
        status, said = self.end(self.start(name))
        first.send_signal(signal.SIGCONT)
        good = status == 2 and said.count("\n") == 1 and "is in use by process" in said
        status, _ = self.end(first)
        good = good and status == 0 and self.same(name)
        self.row("two writers", int(good), 1, "the second refused, the first undisturbed", said)

    def not_a_number(self, step: int) -> None:
        """A loss of NaN at one step; without it, the next start ends as the straight run."""
        name = "nan"
        status, said = self.end(self.start(name, WITH_NAN.format(step=step)))
        good = status == 1 and f"the loss is nan at step {step + 1}" in said
        status, _ = self.end(self.start(name))
        good = good and status == 0 and self.same(name)
        self.row("NaN in the loss", int(good), 1, "status 1, and nothing of it is kept", said)


def left_by(workdir: Path) -> dict[str, Any]:
    """What a complete run leaves that depends on its course, and not on time."""
    assert (workdir / "results.json").exists()
    results = json.loads((workdir / "results.json").read_text())
    with StoredSteps(workdir / "checkpoints") as checkpoints:
        step, state, _ = checkpoints.restore("latest", None)
    return {
        "metrics": (workdir / "metrics.jsonl").read_text(),
        "results": {name: x for name, x in results.items() if "second" not in name},
        "step": step,
        "state": bits(state),
    }


def bits(tree: Any) -> Any:
    """The bytes of every array."""
    return {k: bits(v) for k, v in tree.items()} if isinstance(tree, dict) else tree.tobytes()


def list_steps(workdir: Path) -> list[Path]:
    """Folders of the steps saved."""
    return [path for path in (workdir / "checkpoints").iterdir() if path.name.isdecimal()]


def number_of(step: Path) -> int:
    """The step of such a folder."""
    return int(step.name)


def largest(step: Path) -> Path:
    """The largest file of a step: arrays."""
    return max((p for p in step.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip(path: Path, choice: random.Random) -> None:
    """Flips one bit of a file that is not empty."""
    content = bytearray(path.read_bytes())
    content[choice.randrange(len(content))] ^= 1 << choice.randrange(8)
    path.write_bytes(content)


def _any(folder: Path, step: int, choice: random.Random, filled: bool = True) -> Path:
    files = sorted(path for path in (folder / str(step)).rglob("*") if path.is_file())
    return choice.choice([path for path in files if not filled or path.stat().st_size])


def _cut(folder: Path, step: int, choice: random.Random) -> None:
    path = _any(folder, step, choice)
    os.truncate(path, choice.randrange(path.stat().st_size))


def _empty_numbered(folder: Path, step: int, choice: random.Random) -> None:
    (folder / str(step + choice.randrange(1, 1000))).mkdir()


def _leftover(folder: Path, step: int, choice: random.Random) -> None:
    left = folder / f"{step + 20}{choice.choice(['.tmp', '.tmp.orbax-checkpoint-tmp'])}"
    shutil.copytree(folder / str(step) / "state", left)


DAMAGES: dict[str, Callable[[Path, int, random.Random], None]] = {
    "a bit flipped": lambda folder, step, choice: flip(_any(folder, step, choice), choice),
    "a file cut": _cut,
    "a file emptied": lambda folder, step, choice: os.truncate(_any(folder, step, choice), 0),
    "a file deleted": lambda f, step, choice: _any(f, step, choice, filled=False).unlink(),
    "a bit flipped in the arrays": lambda f, step, choice: flip(largest(f / str(step)), choice),
    "a step deleted": lambda folder, step, choice: shutil.rmtree(folder / str(step)),
    "an empty numbered folder": _empty_numbered,
    "a leftover temporary": _leftover,
}
"""What can happen to the newest step of a checkpoint folder."""


def main(argv: Sequence[str]) -> int:
    """Runs the campaign and prints its table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    for name, default in (
        ("kills", 50),
        ("terms", 20),
        ("damages", 104),
        ("nan-step", 500),
        ("longest", 12),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N")
    arguments, rest = parser.parse_known_args(argv)
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        campaign = Campaign(rest, Path(folder), dict(os.environ))
        try:
            campaign.damages(arguments.damages)
            campaign.nothing_good()
            campaign.carried_on()
            campaign.disk_full()
            campaign.two_writers()
            campaign.not_a_number(arguments.nan_step)
            within = (arguments.longest, arguments.longest)
            campaign.kills_and_terms(arguments.kills, arguments.terms, within)
        except (UserError, AssertionError) as error:
            campaign.row("the campaign itself", 0, 1, str(error))
        print_table(f"faults, {' '.join(rest)}", campaign.rows)
        print(json.dumps(campaign.rows), file=sys.stderr)
    return int(campaign.failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
