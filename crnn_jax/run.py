"""What each mode does, from a checked config to the table at the end."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from crnn_jax import parallel, workdir as folder
from crnn_jax.checkpoint import Checkpoints
from crnn_jax.config import check
from crnn_jax.data.corpora import Corpus, load_corpus
from crnn_jax.errors import UserError
from crnn_jax.evaluate import Evaluation, training_mean
from crnn_jax.model import crnn
from crnn_jax.model.flops import frame_flops
from crnn_jax.progress import print_table
from crnn_jax.train import Diverged, sequences_per_second
from crnn_jax.train import train as train_loop


def train(workdir: Path, config: ConfigDict, *, profile: bool) -> None:
    """Trains to the end, tests, and prints the results; or prints those of a complete run.

    Raises:
      UserError: the config or the folder cannot be used; nothing was written.
    """
    _keep_compiled_programs()
    check(config, parallel.device_count(), jax.default_backend())
    corpus = _corpus(config)
    folder.claim(workdir, config, corpus)
    results = folder.read_results(workdir)
    if results is not None:
        print(f"the run in {workdir} is complete", file=sys.stderr)
        _print_results(results)
        return
    _print_network(config, corpus)
    try:
        params, clock = train_loop(config, corpus, workdir, profile=profile)
    except Diverged as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    report = _test(config, corpus, params)
    results = {
        "corpus": corpus.identity,
        "step": config.train.steps,
        **report,
        "sequences_per_second": sequences_per_second(config, clock),
        "training_seconds": clock.seconds,
    }
    folder.write_results(workdir, results)
    _print_results(results)


def evaluate(workdir: Path, config: ConfigDict | None, *, step: str, as_json: bool) -> None:
    """Tests a checkpoint and prints the results.

    Args:
      workdir: folder of a run.
      config: None for the one stored with the run; another must agree with it.
      step: "latest", "best" or a number.
      as_json: whether to print one JSON object instead of a table.

    Raises:
      UserError: the folder holds no such run or checkpoint, or is of another corpus.
    """
    _keep_compiled_programs()
    which = _parse_step(step)
    stored = folder.read_config(workdir)
    if config is not None:
        if different := folder.differences(stored, config):
            raise UserError(
                f"--config differs from that of the run in {workdir} ({'; '.join(different)}): "
                "leave --config out to evaluate with the run's own"
            )
        stored = config
    with Checkpoints.open_to_read(workdir / "checkpoints") as checkpoints:
        step_found, state, notes = checkpoints.restore(which, like=None)
    corpus = _corpus(stored)
    if corpus.identity != notes["corpus"]:
        raise UserError(
            f"the checkpoint in {workdir} is of the corpus {notes['corpus']}, not "
            f"{corpus.identity}: give that corpus (--config=... --config.data.manual_dir=FOLDER)"
        )
    report = _test(stored, corpus, state["params"])
    results = {"corpus": corpus.identity, "step": step_found, **report}
    if as_json:
        print(json.dumps(results))
    else:
        _print_results(results)


def _keep_compiled_programs() -> None:
    """Turns JAX's persistent compilation cache on, unless the user chose a place for it."""
    if jax.config.jax_compilation_cache_dir is None:
        place = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        cache = Path(place).expanduser() / "crnn_jax" / "compiled"
        jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _corpus(config: ConfigDict) -> Corpus:
    data = config.data
    return load_corpus(
        data.corpus, data_dir=data.data_dir, manual_dir=data.manual_dir, fallback=data.fallback
    )


def _parse_step(step: str) -> Any:
    if step in ("latest", "best"):
        return step
    if not step.isdecimal():
        raise UserError(f"--step={step}: expected latest, best or a number")
    return int(step)


def _test(config: ConfigDict, corpus: Corpus, params: Any) -> dict[str, Any]:
    network = crnn.build(
        config.model, digits=corpus.num_classes, max_length=config.task.max_length
    )
    evaluation = Evaluation(
        network,
        config,
        corpus.test,
        sequences=config.eval.test_sequences,
        training_mean=training_mean(config, corpus),
    )
    return evaluation(params)


def _print_network(config: ConfigDict, corpus: Corpus) -> None:
    network = crnn.build(
        config.model, digits=corpus.num_classes, max_length=config.task.max_length
    )
    height, width = corpus.train.images_NxHxW.shape[1:]
    shapes = jax.eval_shape(
        network.init,
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, 1, height, width, 1), "uint8"),
        jax.ShapeDtypeStruct((1, 1), bool),
    )
    leaves = jax.tree_util.tree_leaves_with_path(shapes["params"])
    rows = [
        (jax.tree_util.keystr(path, simple=True, separator="/"), f"{leaf.shape} = {leaf.size:,}")
        for path, leaf in leaves
    ]
    print_table("parameters", [*rows, ("total", f"{sum(leaf.size for _, leaf in leaves):,}")])
    mean_length = (config.task.min_length + config.task.max_length) / 2
    flops = frame_flops(config.model, height, width) * mean_length
    print_table(
        "one sequence",
        [
            ("frames", f"{mean_length:g} on average, {corpus.name}"),
            ("forward", f"{flops / 1e6:.2f} MFLOP; a training step costs about three times this"),
        ],
    )


def _print_results(results: dict[str, Any]) -> None:
    rows = [
        ("corpus", results["corpus"]),
        ("step", f"{results['step']:,}"),
        ("test sequences", f"{results['n']:,}"),
        ("rmse", f"{results['rmse']:.3f}"),
        ("rmse of the training mean", f"{results['baseline_rmse']:.2f}"),
        ("mean absolute error", f"{results['mae']:.3f}"),
        ("exact", f"{results['exact']:.4f}"),
    ]
    if "training_seconds" in results:
        rows += [
            ("training", f"{results['training_seconds']:.1f} s without compilation and evaluation"),
            ("training rate", f"{results['sequences_per_second']:,.0f} sequences/s"),
        ]
    rows.append(("evaluation", f"{results['seconds']:.2f} s"))
    print_table("results", rows)
    print_table(
        "by length",
        [
            (f"{row['length']:,}", f"rmse {row['rmse']:.3f} · exact {row['exact']:.4f}")
            for row in results["per_length"]
        ],
    )
