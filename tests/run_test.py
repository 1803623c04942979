"""Training and evaluating as a whole: what is printed, resumed, refused and left behind."""

import dataclasses
import errno
import json
import math
import re
import shutil
import signal

import jax
import numpy as np
import pytest

from crnn_jax import UserError, evaluate
from crnn_jax.config import load_config
from crnn_jax.data.dataset import known_info
from crnn_jax.distributed import devices
from crnn_jax.runs import load
from crnn_jax.runs.checkpoint import Checkpoints
from crnn_jax.runs.progress import Progress
from crnn_jax.runs.recorder import Diverged
from crnn_jax.runs.steps import StoredSteps
from crnn_jax.tasks.number import Sum
from crnn_jax.train import run
from crnn_jax.train.trainer import Trainer
from tests.files import content
from tests.tiny import config_text
from tests.torture import left_by


@pytest.fixture(scope="module")
def complete_config(data_dir, tmp_path_factory):
    """A config of two lengths and the smallest network, which compiles in no time."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    path.write_text(config_text())
    config = load_config(str(path), [])
    config.data.data_dir = data_dir
    return config


@pytest.fixture
def config(complete_config):
    """The complete run's config, to change."""
    return complete_config.copy_and_resolve_references()


@pytest.fixture(scope="module")
def complete(tmp_path_factory, complete_config):
    """The folder of a complete run; tests that write use a copy."""
    folder = tmp_path_factory.mktemp("runs") / "complete"
    run.train(folder, complete_config, profile=False)
    return folder


@pytest.fixture
def workdir(complete, tmp_path):
    """A copy of a complete run's folder."""
    return shutil.copytree(complete, tmp_path / "run")


def scores(results):
    """What does not depend on time."""
    return {name: value for name, value in results.items() if "second" not in name}


def answer(capsys):
    """The one JSON object on stdout, with nothing on stderr."""
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.count("\n") == 1
    return json.loads(captured.out)


def test_a_complete_run_prints_its_results_again_and_changes_nothing(workdir, config, capsys):
    before = content(workdir)
    run.train(workdir, config, profile=False)
    captured = capsys.readouterr()
    assert captured.err == f"the run in {workdir} is complete\n"
    assert content(workdir) == before
    results = json.loads((workdir / "results.json").read_text())
    for part in (results["corpus"], f"{results['rmse']:.3f}", f"{results['exact']:.4f}"):
        assert part in captured.out


def test_a_complete_run_says_what_it_leaves_undone(workdir, config, capsys):
    config.eval.lengths, config.eval.seed = (1, 3), 5
    run.train(workdir, config, profile=True)
    _, profile, tested = capsys.readouterr().err.splitlines()
    assert profile.startswith("--profile traces training: nothing is left to train")
    assert tested.startswith(
        "it was tested with eval.seed=1, eval.lengths=(): use --mode=evaluate "
    )


def test_a_run_that_goes_on_can_be_traced(config, tmp_path):
    config.train.steps = 12
    config.checkpoint.every = 8
    run.train(tmp_path, config, profile=False)
    (tmp_path / "results.json").unlink()
    shutil.rmtree(tmp_path / "checkpoints" / "12")
    assert not (tmp_path / "profile").exists()
    run.train(tmp_path, config, profile=True)
    assert [*(tmp_path / "profile").rglob("*.xplane.pb")]


def test_results_that_cannot_be_written_are_one_line(workdir, config, capsys, monkeypatch):
    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (workdir / "results.json").unlink()
    monkeypatch.setattr(run, "write_json", no_space)
    with pytest.raises(SystemExit) as leaving:
        run.train(workdir, config, profile=False)
    assert leaving.value.code == 1
    assert capsys.readouterr().err.endswith("error: [Errno 28] No space left on device\n")


def test_results_hold_what_was_asked_for(complete, optdigits):
    results = json.loads((complete / "results.json").read_text())
    assert results["corpus"] == optdigits.identity
    assert results["step"] == 8
    assert results["n"] == 400
    assert [(row["length"], row["n"]) for row in results["per_length"]] == [(1, 200), (2, 200)]
    assert [(row["step"], row["n"]) for row in results["per_step"]] == [(1, 400), (2, 200)]
    assert results["lengths"] == []
    for row in (results, *results["per_length"], *results["per_step"]):
        assert 0 < row["rmse"] < math.inf
        assert 0 <= row["exact"] <= 1
    assert 0 < results["mae"] <= results["rmse"]
    # A mean answer is off by no less than digits vary, whose standard deviation is 2.9.
    assert 2.9 < results["baseline_rmse"] < 10
    rate = results["sequences_per_second"]
    assert rate == pytest.approx(8 * 16 / results["training_seconds"])


@pytest.mark.parametrize(("step", "expected"), [("latest", 8), ("8", 8), ("4", 4)])
def test_evaluation_as_json_needs_no_config(complete, capsys, step, expected):
    evaluate.evaluate(complete, None, step=step, as_json=True)
    found = answer(capsys)
    assert list(found)[:2] == ["corpus", "step"]
    scores_of_all = {"n", "rmse", "mae", "exact", "baseline_rmse"}
    rows = {"per_length", "per_step", "lengths"}
    assert set(found) == {"corpus", "step", "seed", "seconds"} | scores_of_all | rows
    assert found["step"] == expected
    trained = scores(json.loads((complete / "results.json").read_text()))
    assert (scores(found) == trained) == (expected == 8)


def test_the_best_step_is_that_of_the_lowest_validation_rmse(complete, capsys):
    lines = [json.loads(line) for line in (complete / "metrics.jsonl").read_text().splitlines()]
    rmse = {line["step"]: line["validation_rmse"] for line in lines if "validation_rmse" in line}
    assert set(rmse) == {4, 8}
    evaluate.evaluate(complete, None, step="best", as_json=True)
    assert answer(capsys)["step"] == min(rmse, key=rmse.get)


def test_evaluation_for_people_is_one_table_and_leaves_the_folder_alone(workdir, capsys):
    before = content(workdir)
    evaluate.evaluate(workdir, None, step="latest", as_json=False)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert content(workdir) == before
    results = json.loads((workdir / "results.json").read_text())
    lines = [line.split() for line in captured.out.splitlines()]
    assert lines[0] == ["results"]
    for row in (
        ["corpus", results["corpus"]],
        ["step", "8"],
        ["test", "sequences", "400,", "drawn", "with", "seed", "1"],
        ["rmse", f"{results['rmse']:.3f}"],
        ["exact", f"{results['exact']:.4f}"],
        ["rmse", "of", "the", "training", "mean", f"{results['baseline_rmse']:.2f}"],
        "length 2 rmse {rmse:.3f} · exact {exact:.4f}".format(**results["per_length"][1]).split(),
    ):
        assert row in lines, row


def test_other_lengths_can_be_tested_than_the_run_s_own(complete, config, capsys):
    config.eval.lengths = (1, 3)
    evaluate.evaluate(complete, config, step="latest", as_json=True)
    found = answer(capsys)
    assert [(row["length"], row["n"]) for row in found["lengths"]] == [(1, 400), (3, 133)]
    evaluate.evaluate(complete, config, step="latest", as_json=False)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for row in found["lengths"]:
        line = "{n} of length {length} rmse {rmse:.3f} · exact {exact:.4f}".format(**row)
        assert line.split() in lines


def test_which_glyph_it_is_has_no_rmse_and_the_best_is_the_most_exact(
    config, tmp_path, capsys, monkeypatch
):
    config.task.name, config.task.every_step = "class", True
    exact = iter([0.9, 0.3])

    @dataclasses.dataclass
    class Given:
        network: object
        task: object

        def __call__(self, params):
            return {"exact": next(exact), "n": 40}

    monkeypatch.setattr(evaluate, "validation_evaluator", lambda *args: Given(*args[:2]))
    run.train(tmp_path, config, profile=False)
    printed = capsys.readouterr()
    assert "rmse" not in printed.out + printed.err
    assert "validation: exact 0.9000" in printed.err
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    found = {k: v for line in lines for k, v in line.items() if k.startswith("validation")}
    assert found == {"validation_exact": 0.3}

    results = json.loads((tmp_path / "results.json").read_text())
    assert not {"rmse", "mae", "baseline_rmse"} & results.keys()
    for row in (*results["per_length"], *results["per_step"]):
        assert {"n", "exact"} == row.keys() - {"length", "step"}
    for row in results["per_step"]:
        assert "after frame {step} exact {exact:.4f}".format(**row).split() in [
            line.split() for line in printed.out.splitlines()
        ]

    evaluate.evaluate(tmp_path, None, step="best", as_json=True)
    assert answer(capsys)["step"] == 4


def test_an_interrupted_run_goes_on_where_it_was_and_says_so(complete, tmp_path, config, capsys):
    class Interrupted(Exception):
        pass

    original = Checkpoints.save

    def save_then_stop(self, step, *args, **kwargs):
        original(self, step, *args, **kwargs)
        raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_then_stop)
        with pytest.raises(Interrupted):
            run.train(tmp_path, config, profile=False)
    assert not (tmp_path / "results.json").exists()
    assert "resuming" not in capsys.readouterr().err
    run.train(tmp_path, config, profile=False)
    assert f"resuming the run in {tmp_path} from step 4\n" in capsys.readouterr().err
    straight, resumed = (
        scores(json.loads((folder / "results.json").read_text())) for folder in (complete, tmp_path)
    )
    assert resumed == straight


def test_a_folder_of_another_run_is_refused_and_left_alone(workdir, config):
    before = content(workdir)
    config.train.learning_rate = 0.5
    with pytest.raises(UserError, match=r"another config \(train\.learning_rate: 0\.003, not 0\.5"):
        run.train(workdir, config, profile=False)
    with pytest.raises(UserError, match=r"--config differs .*learning_rate: 0\.003, not 0\.5\)"):
        evaluate.evaluate(workdir, config, step="latest", as_json=True)
    assert content(workdir) == before


@pytest.mark.parametrize("other", ["nowhere", "another form"])
def test_a_start_that_cannot_be_had_leaves_nothing_behind(complete, tmp_path, config, other):
    config.init.workdir = str(tmp_path / other if other == "nowhere" else complete)
    if other == "another form":
        config.model.convs = ((2, 3, True),)
    with pytest.raises(UserError, match=r"^--config\.init\.workdir=.*: expected "):
        run.train(tmp_path / "run", config, profile=False)
    assert not (tmp_path / "run").exists()


def test_another_corpus_is_refused(workdir, config, optdigits, monkeypatch):
    before = content(workdir)
    other = dataclasses.replace(optdigits, info=known_info("optdigits:0"))
    monkeypatch.setattr(load, "load_dataset", lambda *args, **kwargs: other)
    for work in (
        lambda: run.train(workdir, config, profile=False),
        lambda: evaluate.evaluate(workdir, None, step="latest", as_json=True),
    ):
        with pytest.raises(UserError, match=rf"{optdigits.identity}, not optdigits:0: "):
            work()
    assert content(workdir) == before


def test_a_config_given_to_evaluate_says_where_the_data_lies(
    complete, config, optdigits, monkeypatch, capsys
):
    asked = []

    def load_dataset(name, **where):
        asked.append((name, where))
        return optdigits

    monkeypatch.setattr(load, "load_dataset", load_dataset)
    config.data.data_dir, config.data.manual_dir = "/moved", "/files"
    evaluate.evaluate(complete, config, step="latest", as_json=True)
    assert asked == [
        ("optdigits", {"data_dir": "/moved", "manual_dir": "/files", "fallback": False})
    ]
    trained = scores(json.loads((complete / "results.json").read_text()))
    assert scores(answer(capsys)) == trained


@pytest.mark.parametrize(
    ("recorded", "wanted"),
    [
        (None, ("mnist", True)),
        ("mnist:0123", ("mnist", False)),
        ("mnist-5k:0123", ("mnist-5k", False)),
        ("optdigits:0123", ("optdigits", False)),
    ],
)
def test_a_run_goes_on_with_the_corpus_that_it_began_with(
    tmp_path, config, monkeypatch, recorded, wanted
):
    config.data.name, config.data.fallback = "mnist", True
    if recorded:
        (tmp_path / "config.json").write_text(config.to_json())
        (tmp_path / "run.json").write_text(json.dumps({"corpus": recorded}))
    asked = []

    def load_dataset(name, **where):
        asked.append((name, where["fallback"]))
        raise UserError("no MNIST")

    monkeypatch.setattr(load, "load_dataset", load_dataset)
    with pytest.raises(UserError, match="no MNIST"):
        run.train(tmp_path, config, profile=False)
    assert asked == [wanted]


def test_a_run_that_began_with_the_stand_in_is_evaluated_on_it(complete, config, tmp_path, capsys):
    with StoredSteps(complete / "checkpoints") as checkpoints:
        step, state, metadata = checkpoints.restore("latest", like=None)
    metadata["config"]["data"]["name"] = "mnist"
    with Checkpoints(tmp_path / "checkpoints", keep_latest=1, keep_best=0) as checkpoints:
        checkpoints.save(step, state, metadata, None)
    evaluate.evaluate(tmp_path, None, step="latest", as_json=True)
    trained = scores(json.loads((complete / "results.json").read_text()))
    assert scores(answer(capsys)) == trained


def test_a_diverged_run_is_one_line_and_status_1(tmp_path, config, capsys, monkeypatch):
    def diverge(*args, **kwargs):
        raise Diverged("the loss is nan at step 3")

    monkeypatch.setattr(run, "train_loop", diverge)
    with pytest.raises(SystemExit) as leaving:
        run.train(tmp_path, config, profile=False)
    assert leaving.value.code == 1
    assert capsys.readouterr().err == "error: the loss is nan at step 3\n"
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize("step", ["first", "-1", "", "1.5", "²"])
def test_a_step_is_a_word_or_a_number(complete, step):
    with pytest.raises(UserError, match=f"^--step={step}: expected latest, best or a number$"):
        evaluate.evaluate(complete, None, step=step, as_json=False)


def test_a_step_that_is_not_there_is_refused_with_those_that_are(complete):
    with pytest.raises(UserError, match=r"no checkpoint 5 in .*one of the steps 4, 8$"):
        evaluate.evaluate(complete, None, step="5", as_json=False)


def test_a_folder_without_a_run_cannot_be_evaluated(tmp_path):
    with pytest.raises(UserError, match=f"^no run in {tmp_path / 'none'}: expected the --workdir"):
        evaluate.evaluate(tmp_path / "none", None, step="latest", as_json=False)
    assert list(tmp_path.iterdir()) == []


def test_compiled_programs_are_kept_in_the_users_cache(tmp_path, monkeypatch):
    chosen = jax.config.jax_compilation_cache_dir
    least = jax.config.jax_persistent_cache_min_compile_time_secs
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    try:
        devices.keep_compiled_programs()
        assert jax.config.jax_compilation_cache_dir == chosen
        jax.config.update("jax_compilation_cache_dir", None)
        devices.keep_compiled_programs()
        kept = tmp_path / "crnn_jax" / "compiled"
        assert jax.config.jax_compilation_cache_dir == str(kept)
        assert not kept.exists()
    finally:
        jax.config.update("jax_compilation_cache_dir", chosen)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)


@pytest.fixture
def constant(config):
    """A config whose schedule does not depend on the number of steps."""
    config.train.schedule = "constant"
    return config


def test_a_run_that_trains_longer_is_one_that_had_the_steps_from_the_start(
    tmp_path, constant, capsys
):
    run.train(tmp_path / "longer", constant, profile=False)
    constant.train.steps = 16
    run.train(tmp_path / "longer", constant, profile=False)
    assert f"resuming the run in {tmp_path / 'longer'} from step 8" in capsys.readouterr().err
    run.train(tmp_path / "straight", constant, profile=False)
    assert left_by(tmp_path / "longer") == left_by(tmp_path / "straight")
    assert json.loads((tmp_path / "longer" / "config.json").read_text())["train"]["steps"] == 16

    before = content(tmp_path / "longer")
    constant.train.steps = 8
    with pytest.raises(UserError, match=r"train\.steps=8: the run in .* trained 16 steps already"):
        run.train(tmp_path / "longer", constant, profile=False)
    assert content(tmp_path / "longer") == before


def test_a_run_that_stopped_early_is_complete_until_it_is_given_more_patience(
    tmp_path, constant, capsys, monkeypatch
):
    monkeypatch.setattr(Sum, "goal", lambda *_: 1.0)
    constant.train.steps, constant.train.patience = 12, 1
    run.train(tmp_path, constant, profile=False)
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["trained"], results["waited"]) == (8, 1)
    printed = capsys.readouterr()
    assert "no better score in 1 evaluations: stopped at step 8" in printed.err
    assert re.search(r"^ +step +8, the best of 8, which", printed.out, re.MULTILINE)
    run.train(tmp_path, constant, profile=False)
    assert "is complete" in capsys.readouterr().err
    constant.train.patience = 5
    run.train(tmp_path, constant, profile=False)
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["trained"], results["waited"]) == (12, 2)


def test_a_run_without_its_checkpoints_is_not_trained_anew(tmp_path, constant, capsys):
    run.train(tmp_path, constant, profile=False)
    shutil.rmtree(tmp_path / "checkpoints")
    before = content(tmp_path)
    run.train(tmp_path, constant, profile=False)
    assert "is complete" in capsys.readouterr().err
    constant.train.steps = 16
    with pytest.raises(UserError, match=r"results\.json says 8 steps, but no checkpoint is left"):
        run.train(tmp_path, constant, profile=False)
    assert content(tmp_path) == before


def test_a_folder_that_another_run_took_while_the_data_was_prepared_is_left_alone(
    tmp_path, config, complete, monkeypatch
):
    def load_dataset(*args, **where):
        shutil.copytree(complete, tmp_path / "run")
        return of_load(*args, **where)

    of_load = load.load_dataset
    monkeypatch.setattr(load, "load_dataset", load_dataset)
    config.train.learning_rate = 0.5
    with pytest.raises(UserError, match="another config"):
        run.train(tmp_path / "run", config, profile=False)
    assert (
        content(tmp_path / "run").items()
        == {
            tmp_path / "run" / path.relative_to(complete): bytes_
            for path, bytes_ in content(complete).items()
        }.items()
    )


def test_a_schedule_with_an_end_begins_a_new_cycle_from_the_parameters(
    workdir, config, tmp_path, monkeypatch
):
    config.train.steps = 16
    before = content(workdir)
    with pytest.raises(UserError, match=r"train\.steps: 8, not 16.*--config\.init\.part=all"):
        run.train(workdir, config, profile=False)
    assert content(workdir) == before

    config.init.workdir, config.init.part = str(workdir), "all"
    begun_with = []
    save = Checkpoints.save

    def initial_state(self):
        begun_with.append(of_trainer(self).params)
        return of_trainer(self)

    of_trainer = Trainer.initial_state
    monkeypatch.setattr(Trainer, "initial_state", initial_state)
    run.train(tmp_path / "new", config, profile=False)
    assert Checkpoints.save is save
    with StoredSteps(workdir / "checkpoints") as steps:
        _, state, _ = steps.restore("latest", part="params")
    jax.tree.map(np.testing.assert_array_equal, begun_with[0], state["params"])
    assert json.loads((tmp_path / "new" / "results.json").read_text())["step"] == 16


def test_steps_of_a_dispatch_that_do_not_meet_the_last_checkpoint_are_refused(tmp_path, constant):
    run.train(tmp_path, constant, profile=False)
    constant.train.steps, constant.train.steps_per_dispatch = 24, 6
    constant.eval.every = constant.checkpoint.every = 12
    with pytest.raises(UserError, match="steps_per_dispatch=6: expected a divisor of 8"):
        run.train(tmp_path, constant, profile=False)


def test_settings_that_change_the_numbers_are_refused_on_resume(workdir, config):
    (workdir / "results.json").unlink()
    before = content(workdir)
    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        with pytest.raises(UserError, match="began with jax_default_matmul_precision=None"):
            run.train(workdir, config, profile=False)
    finally:
        jax.config.update("jax_default_matmul_precision", None)
    assert content(workdir) == before


def test_a_log_that_nobody_reads_any_more_costs_no_checkpoint(tmp_path, config, monkeypatch):
    def nobody_reads(*_, **__):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "update", nobody_reads)
        with pytest.raises(SystemExit) as leaving:
            run.train(tmp_path, config, profile=False)
    assert leaving.value.code == 128 + signal.SIGPIPE
    with StoredSteps(tmp_path / "checkpoints") as steps:
        assert steps.restore("latest")[0] == 8
    run.train(tmp_path, config, profile=False)
    assert (tmp_path / "results.json").exists()
