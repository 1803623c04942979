"""What each mode does, from a checked config to the table at the end."""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import jax
from ml_collections import ConfigDict

from crnn_jax import evaluate as evaluation
from crnn_jax import parallel, processes
from crnn_jax import workdir as folder
from crnn_jax.checkpoint import NotSaved
from crnn_jax.config import check_fields, check_names, differences
from crnn_jax.data.corpora import Corpus, load_corpus
from crnn_jax.division import check_division, device_count
from crnn_jax.errors import UserError
from crnn_jax.initial import start_from
from crnn_jax.model import crnn
from crnn_jax.model.flops import frame_flops
from crnn_jax.progress import print_table
from crnn_jax.restored import Restored, restore
from crnn_jax.stop import Stopped
from crnn_jax.train import Diverged, score_line, sequences_per_second
from crnn_jax.train import train as train_loop
from crnn_jax.user_path import user_path


def train(workdir: Path, config: ConfigDict, *, profile: bool) -> None:
    """Trains to the end, tests, and prints the results; or prints those of a complete run.

    Of several processes, the main one alone reads and writes the folder.

    Args:
      workdir: folder of the run; is made.
      config: the experiment.
      profile: whether to write a trace of a few steps to `workdir`/profile.

    Raises:
      UserError: the config, the corpus or the folder cannot be used; what was saved stays.
      SystemExit: status 1 where the loss is not finite, or the folder can be written no more; 128 +
        the signal's number where one came. What was saved before stays.
    """
    _keep_compiled_programs()
    check_names(config)
    check_fields(config)
    cores = parallel.core_count()
    parallel.use_cores(device_count(config, cores, processes.count()))
    check_division(config, parallel.device_count(), jax.default_backend())
    parallel.check_devices()
    with ExitStack() as stack:
        corpus = _training_corpus(workdir, config)
        if processes.on_main(lambda: _enter(workdir, config, corpus, profile, stack)):
            _print_network(config, corpus)
            _print_results(_train(workdir, config, corpus, profile=profile), config)


def _training_corpus(workdir: Path, config: ConfigDict) -> Corpus:
    """The corpus of a config; its stand-in for a run that is new, and only if it cannot be had.

    A run goes on with what it began with.
    """
    name = config.data.corpus

    def recorded_corpus() -> str | None:
        folder.check_config(workdir, config)
        return folder.recorded_corpus(workdir)

    recorded = processes.on_main(recorded_corpus)
    begun_with = recorded.partition(":")[0] if recorded else None
    if (begun_with, name, config.data.fallback) == ("optdigits", "mnist", True):
        _say(f"the run in {workdir} began with optdigits in the place of mnist, and keeps to it")
        name = begun_with
    corpus = _corpus(config, name, fallback=config.data.fallback and begun_with is None)
    identity = processes.on_main(lambda: corpus.identity)
    if corpus.identity != identity:
        raise UserError(
            f"process {processes.index()} finds the corpus {corpus.identity}, process 0 "
            f"{identity}: have data_dir and manual_dir lead to the same one on all machines"
        )
    return corpus


def _enter(
    workdir: Path, config: ConfigDict, corpus: Corpus, profile: bool, stack: ExitStack
) -> bool:
    """Makes the folder this run's own until `stack` ends; of a complete run, prints the results.

    Returns:
      Whether there is anything to train.
    """
    folder.check_corpus(workdir, corpus)
    results = folder.read_results(workdir)
    if results is not None:
        _say(f"the run in {workdir} is complete")
        if profile:
            _say("--profile traces training, and nothing is left to train: name another --workdir")
        try:
            if [row["length"] for row in results["lengths"]] != [*config.eval.lengths]:
                _say("it was tested at other eval.lengths: add --mode=evaluate to test at these")
            _print_results(results, config)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{workdir / 'results.json'} is damaged ({type(error).__name__}: {error}): delete "
                "it, and the same command tests the network again"
            ) from error
        return False
    if not (workdir / "checkpoints").is_dir():
        _check_start(config, corpus)
    stack.enter_context(folder.locked(workdir))
    folder.claim(workdir, config, corpus)
    return True


def _train(workdir: Path, config: ConfigDict, corpus: Corpus, *, profile: bool) -> dict[str, Any]:
    """Trains to the end and tests; returns the results, which it writes down."""
    try:
        params, clock = train_loop(config, corpus, workdir, profile=profile)
        results = {
            "corpus": corpus.identity,
            "step": config.train.steps,
            **_test(config, corpus, params),
            "sequences_per_second": sequences_per_second(config, clock),
            "training_seconds": clock.seconds,
        }
        if processes.is_main():
            folder.write_results(workdir, results)
    except Stopped as stopped:
        processes.wait_for_others()  # who leaves before the main one has saved may end it
        _say(str(stopped))
        sys.exit(128 + stopped.signal)
    except (Diverged, NotSaved, OSError) as error:
        _say(f"error: {error}")
        sys.exit(1)
    return results


def evaluate(workdir: Path, config: ConfigDict | None, *, step: str, as_json: bool) -> None:
    """Tests a checkpoint, with the config stored in it, and prints the results.

    Args:
      workdir: folder of a run.
      config: says where the data lies and must agree in all else; None for where it lay.
      step: "latest", "best" or a number.
      as_json: whether to print one JSON object instead of a table.

    Raises:
      UserError: the folder holds no such run or checkpoint, or the corpus cannot be had.
    """
    which = _parse_step(step)
    _keep_compiled_programs()
    parallel.use_cores(parallel.core_count())
    restored = restore(workdir, which)
    config = _config_of(restored, config, workdir)
    corpus = corpus_of(restored, config, workdir)
    results = {
        "corpus": corpus.identity,
        "step": restored.step,
        **_test(config, corpus, restored.params),
    }
    if as_json:
        print(json.dumps(results))
    else:
        _print_results(results, config)


def predict(workdir: Path, paths: Sequence[Path], *, split: bool, step: str, as_json: bool) -> None:
    """Answers about people's own pictures, and prints the answer.

    Args:
      workdir: folder of a run.
      paths: pictures in order, or folders of pictures.
      split: whether the one picture shows a row of glyphs, to be cut apart.
      step: "latest", "best" or a number.
      as_json: whether to print one JSON object instead of a table.

    Raises:
      UserError: the folder holds no such run or checkpoint, or the pictures cannot be used.
    """
    from crnn_jax.pictures import find_pictures  # brings in SciPy: half a second of every start
    from crnn_jax.predict import Reader

    which = _parse_step(step)
    _keep_compiled_programs()
    pictures = find_pictures(paths)
    answer = Reader(restore(workdir, which))(pictures, split=split)
    if as_json:
        print(json.dumps(answer))
        return
    rows = [("answer", answer["answer"])]
    if "estimate" in answer:
        rows.append(("estimate", f"{answer['estimate']:.2f}"))
    if "confidence" in answer:
        rows.append(("confidence", f"{answer['confidence']:.1%}"))
    for i, part in enumerate(answer["steps"]):
        of_picture = part["name"] == "after picture" and not split
        name = f"after {pictures[i].name}" if of_picture else f"{part['name']} {i + 1}"
        confidence = f" · {part['confidence']:.1%}" if "confidence" in part else ""
        estimate = f" · estimate {part['estimate']:.2f}" if "estimate" in part else ""
        rows.append((name, f"{part['answer']}{estimate}{confidence}"))
    print_table("prediction", rows)


def figures(workdir: Path, config: ConfigDict | None, *, step: str, beside: Path | None) -> None:
    """Draws a run's figures into its folder, and prints where they are.

    Args:
      workdir: folder of a run.
      config: says where the data lies; None for where it lay.
      step: "latest", "best" or a number.
      beside: folder of a run to compare the kernels with; None for no comparison.

    Raises:
      UserError: the folder holds no such run or checkpoint, the corpus cannot be had, or the two
        runs' kernels cannot be compared.
    """
    from crnn_jax.figures import draw_figures  # brings in matplotlib: not for the other modes

    which = _parse_step(step)
    _keep_compiled_programs()
    restored = restore(workdir, which)
    other = restore(beside) if beside is not None else None
    corpus = corpus_of(restored, _config_of(restored, config, workdir), workdir)
    for path in draw_figures(restored, corpus, workdir, beside=other):
        print(path)


def _say(line: str) -> None:
    if processes.is_main():
        print(line, file=sys.stderr)


def _keep_compiled_programs() -> None:
    """Turns JAX's persistent compilation cache on, unless the user chose a place for it."""
    if jax.config.jax_compilation_cache_dir is not None:
        return
    place = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    cache = user_path(place) / "crnn_jax" / "compiled"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _corpus(config: ConfigDict, name: str, *, fallback: bool) -> Corpus:
    return load_corpus(
        name,
        data_dir=config.data.data_dir,
        manual_dir=config.data.manual_dir,
        fallback=fallback,
    )


def _config_of(restored: Restored, config: ConfigDict | None, workdir: Path) -> ConfigDict:
    """The given config, which must be the run's but for where the data lies; or the run's own."""
    if config is None:
        return restored.config
    if different := differences(restored.config.to_dict(), config):
        raise UserError(
            f"--config differs from that of the run in {workdir} ({'; '.join(different)}): "
            "leave --config out to go by the run's own"
        )
    check_fields(config)
    return config


def corpus_of(restored: Restored, config: ConfigDict, workdir: Path) -> Corpus:
    """The corpus that a network was trained on.

    Args:
      restored: the network.
      config: its `data` section says where the corpus lies.
      workdir: what errors call the run.

    Raises:
      UserError: what lies there is another corpus, or see `load_corpus`.
    """
    corpus = _corpus(config, restored.corpus_name, fallback=False)
    if corpus.identity != restored.corpus:
        raise UserError(
            f"the checkpoint in {workdir} is of the corpus {restored.corpus}, not "
            f"{corpus.identity}: say where that lies (--config=FILE --config.data.data_dir=FOLDER)"
        )
    return corpus


def _check_start(config: ConfigDict, corpus: Corpus) -> None:
    """Checks that the run a new one starts from is there and fits, before anything is written."""
    network = crnn.build(config, digits=corpus.num_classes)
    image_shape = corpus.train.images_NxHxW.shape[1:]
    start_from(config.init, crnn.parameter_shapes(network, config, image_shape))


def _parse_step(step: str) -> Literal["latest", "best"] | int:
    if step in ("latest", "best"):
        return step
    if not step.isdecimal():
        raise UserError(f"--step={step}: expected latest, best or a number")
    return int(step)


def _test(config: ConfigDict, corpus: Corpus, params: Any) -> dict[str, Any]:
    network = crnn.build(config, digits=corpus.num_classes)
    return evaluation.test(network, config, corpus, params)


def _print_network(config: ConfigDict, corpus: Corpus) -> None:
    if not processes.is_main():
        return
    network = crnn.build(config, digits=corpus.num_classes)
    image_shape = corpus.train.images_NxHxW.shape[1:]
    frames, _ = crnn.example(config, image_shape)
    shapes = crnn.parameter_shapes(network, config, image_shape)
    leaves = jax.tree_util.tree_leaves_with_path(shapes["params"])
    rows = [
        (jax.tree_util.keystr(path, simple=True, separator="/"), f"{leaf.shape} = {leaf.size:,}")
        for path, leaf in leaves
    ]
    print_table("parameters", [*rows, ("total", f"{sum(leaf.size for _, leaf in leaves):,}")])
    mean_length = (config.task.min_length + config.task.max_length) / 2
    mean_frames = mean_length * len(frames) / config.task.max_length
    flops = frame_flops(config.model, *frames.shape[2:4]) * mean_frames
    print_table(
        "one sequence",
        [
            ("frames", f"{mean_frames:g} on average, {corpus.name}"),
            ("forward", f"{flops / 1e6:.2f} MFLOP; a training step costs about three times this"),
        ],
    )


def _print_results(results: dict[str, Any], config: ConfigDict) -> None:
    if not processes.is_main():
        return
    rows = [
        ("corpus", results["corpus"]),
        ("step", f"{results['step']:,}"),
        ("test sequences", f"{results['n']:,}"),
        ("exact", f"{results['exact']:.4f}"),
    ]
    if "per_symbol" in results:
        rows.append(("symbols right", f"{results['per_symbol']:.4f}"))
    if "rmse" in results:
        rows += [
            ("rmse", f"{results['rmse']:.3f}"),
            ("rmse of the training mean", f"{results['baseline_rmse']:.2f}"),
            ("mean absolute error", f"{results['mae']:.3f}"),
        ]
    if "training_seconds" in results:
        rows += [
            ("training", f"{results['training_seconds']:.1f} s without compilation and evaluation"),
            ("training rate", f"{results['sequences_per_second']:,.0f} sequences/s"),
        ]
    rows.append(("evaluation", f"{results['seconds']:.2f} s"))
    if len(results.get("per_length", ())) > 1:
        rows += [(f"length {row['length']:,}", score_line(row)) for row in results["per_length"]]
    if config.task.every_step:
        rows += [(f"after frame {row['step']:,}", score_line(row)) for row in results["per_step"]]
    rows += [
        (f"{row['n']:,} of length {row['length']:,}", score_line(row)) for row in results["lengths"]
    ]
    print_table("results", rows)
