"""Train what published figures are compared with, and write docs/records.md.

python tools/records.py                                    # all of it: many hours on a CPU
python tools/records.py --only=mnist_add:n1,nau --seeds=3  # these configs, three seeds each

Start the same command again to go on: a complete run is not trained again, one that was
interrupted resumes. docs/records.md is written anew after each run, from all complete ones.

  --only=NAMES      configs, with or without their variants, separated by commas (default: all)
  --seeds=N         seeds of each, instead of as many as its protocol asks for
  --runs=FOLDER     where the runs are kept (default: runs/records)
  --out=FILE        what to write (default: docs/records.md)
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:  # started as a script, only this folder is known
    sys.path.insert(0, str(ROOT))

from crnn_jax import UserError, exit_status, say, user_path  # noqa: E402
from crnn_jax.config import differences, load_config  # noqa: E402
from crnn_jax.distributed.files import write_whole  # noqa: E402
from crnn_jax.runs.folder import RunFolder, read_json  # noqa: E402
from crnn_jax.runs.stop import status_of  # noqa: E402
from tools.record_rows import PROTOCOLS, Results, Runs  # noqa: E402

ONE_SEED = 600
"""Seconds of training above which one seed is enough."""

HEAD = """# Records

Published figures, and what this project reaches on the same protocol. Written by
`python tools/records.py`, from its own runs alone; a figure that is not better than the published
one stands here as it is. Mean ± standard deviation over n seeds where a section says nothing else,
tested once on MNIST's test images. Rows that train for more than ten minutes have one seed. Time is
training time, without compilation, evaluation and checkpoints; other work may have run beside, so
it is an upper bound.
"""


def main(argv: Sequence[str]) -> None:
    """Train what is missing of what the command line names, and write the document.

    Raises:
      UserError: an argument or a config cannot be used.
      SystemExit: with the status of the first run that failed or was stopped.
    """
    parser = argparse.ArgumentParser(
        prog="python tools/records.py",
        usage=argparse.SUPPRESS,  # a mistake is one line then
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--runs", default="runs/records")
    parser.add_argument("--out", default=str(ROOT / "docs" / "records.md"))
    options = parser.parse_args(argv)
    if options.seeds < 0:
        parser.error(f"--seeds={options.seeds}: expected 1 or more")
    runs = user_path(options.runs)
    wanted = [
        (config, seed)
        for config, seeds in chosen(options.only).items()
        for seed in range(options.seeds or seeds)
    ]
    for i, (config, seed) in enumerate(wanted, 1):
        say(f"[{i}/{len(wanted)}] {config}, seed {seed}")
        if too_long(config, seed, runs):
            say(f"one seed of {config} trained for more than {ONE_SEED} s: no other is needed")
            continue
        results = train(config, seed, folder_of(runs, config, seed))
        say(f"exact {results['exact']:.4f}, {results['training_seconds']:.0f} s of training")
        write(runs, user_path(options.out))
    write(runs, user_path(options.out))


def chosen(only: str) -> dict[str, int]:
    """Configs to train, with the seeds that their protocols ask for.

    Args:
      only: names of some, with or without variants, in the order in which to train; "" for all.

    Raises:
      UserError: a name is none of theirs.
    """
    seeds = {config: p.seeds for p in PROTOCOLS for config in p.configs}
    if not only:
        return seeds
    found = {}
    for name in only.split(","):
        fitting = {c: n for c, n in seeds.items() if name in (c, c.partition(":")[0])}
        if not fitting:
            raise UserError(f"--only={name}: expected some of {', '.join(seeds)}")
        found |= fitting
    return found


def folder_of(runs: Path, config: str, seed: int) -> RunFolder:
    """Where the run of a config with a seed is kept."""
    return RunFolder(runs / f"{config.replace(':', '-')}-seed{seed}")


def too_long(config: str, seed: int, runs: Path) -> bool:
    """Whether the first seed trained so long that it must do."""
    first = folder_of(runs, config, 0).results
    return seed > 0 and first.exists() and read_json(first).get("training_seconds", 0) > ONE_SEED


def train(config: str, seed: int, folder: RunFolder) -> Results:
    """The results of a run, which is trained to its end if it is not complete.

    Raises:
      SystemExit: the run failed or was stopped; with its status.
    """
    file, colon, variant = config.partition(":")
    given = f"{ROOT / 'configs' / file}.py{colon}{variant}"
    command = [f"--config={given}", f"--config.seed={seed}", f"--workdir={folder.path}"]
    config = load_config(given, [f"--config.seed={seed}"])
    if folder.results.exists() and not is_tested(config, read_json(folder.results)):
        folder.results.unlink()  # so that it is tested again
    missing = not folder.results.exists() or differences(read_json(folder.config), config)
    if missing and (status := status_of([sys.executable, "-m", "crnn_jax.main", *command])):
        sys.exit(status)
    return read_json(folder.results)


def is_tested(config: Any, results: Results) -> bool:
    """Whether results are of what a config asks for now."""
    lengths = tuple(row["length"] for row in results["lengths"])
    return (results["step"], results["n"], lengths) == (
        config.train.steps,
        config.eval.test_sequences,
        config.eval.lengths,
    )


def complete_runs(runs: Path) -> tuple[Runs, dict[str, list[dict[str, Any]]]]:
    """The results of all complete runs by config, and what their `run.json` says."""
    results: dict[str, list[Results]] = {}
    records: dict[str, list[dict[str, Any]]] = {}
    for protocol in PROTOCOLS:
        for config in protocol.configs:
            pattern = f"{config.replace(':', '-')}-seed*/results.json"
            folders = [RunFolder(path.parent) for path in sorted(runs.glob(pattern))]
            results[config] = [read_json(folder.results) for folder in folders]
            records[config] = [read_json(folder.record) for folder in folders]
    return results, records


def write(runs: Path, out: Path) -> None:
    """Write the document about all complete runs."""
    results, records = complete_runs(runs)
    parts = [HEAD]
    for protocol in PROTOCOLS:
        parts += [f"## {protocol.title}\n", f"{protocol.about}\n"]
        rows = ["| what | published | here | n | training | config |", "|---|---|---|---|---|---|"]
        for row in protocol.rows:
            found = results[row.config]
            here = row.here(results) if found else "not measured"
            time = seconds(found) if found else ""
            cells = (row.what, row.published, here, len(found) or "", time, f"`{row.config}`")
            rows.append(f"| {' | '.join(map(str, cells))} |")
        parts += ["\n".join(rows) + "\n", f"What differs: {protocol.differs}\n"]
    parts.append(f"## Where\n\n{hardware(records)}\n")
    write_whole(out, "\n".join(parts).encode())


def seconds(results: Sequence[Results]) -> str:
    """Training time, in words."""
    times = [result["training_seconds"] for result in results]
    spread = f" ± {statistics.stdev(times):.0f}" if len(times) > 1 else ""
    return f"{statistics.mean(times):.0f}{spread} s"


def hardware(records: dict[str, list[dict[str, Any]]]) -> str:
    """On what the runs were trained, a line for each kind of machine."""
    machines: dict[str, list[str]] = {}
    for config, of_seeds in records.items():
        for record in of_seeds:
            versions = f"JAX {record['versions']['jax']}, Python {record['python']}"
            revision = record["git_revision"].partition("+")[0][:7]
            where = f"{record.get('cores', '?')} core(s) of {record.get('processor', '?')}"
            where += f", {versions}, revision {revision}, {record['started'][:10]}"
            names = machines.setdefault(where, [])
            names += [f"`{config}`"] * (f"`{config}`" not in names)
    return "\n".join(f"- {where}: {', '.join(names)}" for where, names in machines.items())


if __name__ == "__main__":
    sys.exit(exit_status(main, sys.argv[1:]))
