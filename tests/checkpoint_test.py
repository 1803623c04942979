import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct

from crnn_jax import UserError
from crnn_jax.runs import checksums
from crnn_jax.runs.checkpoint import Checkpoints, NotSaved
from crnn_jax.runs.steps import StoredSteps


@struct.dataclass
class State:
    step: jax.Array
    params: dict
    opt_state: optax.OptState


def make_state(seed=0):
    """Adam's state in chained NamedTuples, a float16 and a bfloat16, and floats hard to keep."""
    rng = np.random.default_rng(seed)
    params = {
        "encoder": {"kernel": jnp.asarray(rng.standard_normal((3, 4)), jnp.float32)},
        "head": {
            "bias": jnp.asarray([-0.0, math.nan, -math.inf, 1e-42], jnp.float32),
            "half": jnp.asarray(rng.standard_normal(5), jnp.bfloat16),
            "quarter": jnp.asarray(rng.standard_normal(2), jnp.float16),
        },
    }
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
    return State(jnp.int32(7), params, optimizer.init(params))


def save_steps(folder, scores, keep_latest=100, keep_best=0):
    with Checkpoints(folder, keep_latest=keep_latest, keep_best=keep_best) as checkpoints:
        for step, score in scores.items():
            checkpoints.save(step, {"x": np.float32([step])}, {"step": step}, score)
        return checkpoints.steps


def listing(folder):
    return {
        os.path.relpath(path, folder): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in [folder, *folder.rglob("*")]
    }


def assert_same_bits(restored, state):
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for found, wanted in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        assert type(found) is np.ndarray
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert found.tobytes() == np.asarray(wanted).tobytes()


def test_restores_structure_dtypes_and_bits(tmp_path):
    state = make_state()
    metadata = {
        "config": {"name": "sum8", "lengths": [1, 8]},
        "clock": {"seconds": 1.5, "steps": 7},
    }
    with Checkpoints(tmp_path / "new" / "folder", keep_latest=1, keep_best=1) as checkpoints:
        checkpoints.save(7, state, metadata, 0.5)
    with StoredSteps(tmp_path / "new" / "folder") as checkpoints:
        step, restored, restored_metadata = checkpoints.restore(
            "latest", jax.eval_shape(lambda: state)
        )
    assert step == 7
    assert restored_metadata == metadata
    assert_same_bits(restored, state)


def test_restores_nested_dicts_of_numpy_without_like(tmp_path):
    state = make_state()
    with Checkpoints(tmp_path, keep_latest=1, keep_best=0) as checkpoints:
        checkpoints.save(7, state, {}, None)
        _, restored, _ = checkpoints.restore(7, None)
    assert sorted(restored) == ["opt_state", "params", "step"]
    assert_same_bits(restored["params"], state.params)
    adam = state.opt_state[1][0]
    assert_same_bits(restored["opt_state"]["1"]["0"]["nu"], adam.nu)
    assert_same_bits(restored["opt_state"]["1"]["0"]["count"], adam.count)


def test_replicated_and_numpy_states_are_saved_alike(tmp_path):
    mesh = jax.make_mesh((jax.device_count(),), ("batch",))
    state = make_state()
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    for name, saved in (
        ("replicated", jax.device_put(state, everywhere)),
        ("numpy", jax.device_get(state)),
    ):
        with Checkpoints(tmp_path / name, keep_latest=1, keep_best=0) as checkpoints:
            checkpoints.save(7, saved, {}, None)
            assert_same_bits(checkpoints.restore(7, state)[1], state)


def test_state_and_metadata_may_change_once_save_returns(tmp_path):
    update = jax.jit(lambda x: x * 0 - 1, donate_argnums=0)
    count = 1 << 20
    on_device, on_host, metadata = jnp.arange(count), np.arange(count), {"seconds": 1}
    with Checkpoints(tmp_path, keep_latest=1, keep_best=0) as checkpoints:
        checkpoints.save(1, {"device": on_device, "host": on_host}, metadata, None)
        update(on_device).block_until_ready()
        on_host[:] = -1
        metadata["seconds"] = 2
        _, restored, restored_metadata = checkpoints.restore(1, None)
    assert (restored["device"] == np.arange(count)).all()
    assert (restored["host"] == np.arange(count)).all()
    assert restored_metadata == {"seconds": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda params: params["encoder"].update(kernel=jnp.zeros((3, 5))),
            r"params/encoder/kernel was saved as float32\[3, 4\], expected float32\[3, 5\]",
        ),
        (
            lambda params: params["head"].update(half=jnp.zeros(5, jnp.float32)),
            r"params/head/half was saved as bfloat16\[5\], expected float32\[5\]",
        ),
        (
            lambda params: params.update(gru={"bias": jnp.zeros(2)}),
            r"params/gru/bias was saved as nothing, expected float32\[2\]",
        ),
        (
            lambda params: params["head"].pop("quarter"),
            r"params/head/quarter was saved as float16\[2\], expected nothing",
        ),
    ],
)
def test_other_model_is_refused_by_the_name_of_the_leaf(tmp_path, change, message):
    with Checkpoints(tmp_path, keep_latest=1, keep_best=0) as checkpoints:
        checkpoints.save(7, make_state(), {}, None)
        like = make_state()
        change(like.params)
        with pytest.raises(UserError, match=message):
            checkpoints.restore(7, like)


@pytest.mark.parametrize(
    ("scores", "kept"),
    [
        ({1: None, 2: None, 3: None, 4: None}, [3, 4]),
        ({1: 0.5, 2: 0.1, 3: 0.9, 4: 0.8, 5: 0.7}, [2, 4, 5]),
        ({1: 0.5, 2: 0.1, 3: math.nan, 4: None, 5: None}, [2, 4, 5]),
        ({1: 0.5, 2: -math.inf, 3: 0.6, 4: math.nan, 5: math.nan}, [1, 4, 5]),
        ({1: 0.5, 2: 0.5, 3: 0.6, 4: 0.7}, [2, 3, 4]),
        ({1: np.float32(0.5), 2: np.float64(0.1), 3: 1, 4: 1, 5: 1}, [2, 4, 5]),
    ],
)
def test_keeps_the_latest_two_and_the_best(tmp_path, scores, kept):
    assert save_steps(tmp_path / "once", scores, keep_latest=2, keep_best=1) == kept
    for step, score in scores.items():  # restarted after each step
        last = save_steps(tmp_path / "often", {step: score}, keep_latest=2, keep_best=1)
    assert last == kept
    for name in ("once", "often"):
        with StoredSteps(tmp_path / name) as checkpoints:
            assert checkpoints.steps == kept
            assert checkpoints.latest_step == kept[-1]
            for which, step in (("latest", kept[-1]), (kept[0], kept[0])):
                assert checkpoints.restore(which, None)[2] == {"step": step}


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ({1: 0.5, 2: 0.25, 3: 0.75}, 2),
        ({1: 0.5, 2: 0.25, 3: 0.25}, 3),
        ({1: math.nan, 2: 0.5, 3: math.nan, 4: -math.inf}, 2),
        ({1: -1.0, 2: 0.0, 3: None}, 1),
    ],
)
def test_best_is_the_lowest_score(tmp_path, scores, best):
    save_steps(tmp_path, scores)
    with StoredSteps(tmp_path) as checkpoints:
        assert checkpoints.best_step == best
        step, state, _ = checkpoints.restore("best", None)
    assert step == best
    assert state["x"] == [best]


def test_step_not_above_the_latest_is_refused_and_changes_nothing(tmp_path):
    save_steps(tmp_path, {5: None, 10: None})
    before = listing(tmp_path)
    for step in (5, 7, 10):
        with pytest.raises(UserError, match=f"step {step} is not after step 10, the latest in"):
            save_steps(tmp_path, {step: None})
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("state", "metadata", "message"),
    [
        ({"a": {"b": 1.0}}, {}, "leaf a/b is float, not an array"),
        ({"a": np.zeros(1)}, {"x": np.float32(1)}, "float32 is not JSON serializable"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(
    tmp_path, state, metadata, message
):
    with Checkpoints(tmp_path, keep_latest=1, keep_best=0) as checkpoints:
        with pytest.raises(TypeError, match=message):
            checkpoints.save(1, state, metadata, None)
        assert list(tmp_path.iterdir()) == []
        checkpoints.save(1, {"a": np.zeros(1)}, {}, None)


@pytest.mark.skipif(jax.device_count() == 1, reason="needs several devices")
def test_divided_array_is_refused(tmp_path):
    mesh = jax.make_mesh((jax.device_count(),), ("batch",))
    divided = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    state = {"x": jax.device_put(jnp.zeros(jax.device_count()), divided)}
    with (
        Checkpoints(tmp_path, keep_latest=1, keep_best=0) as checkpoints,
        pytest.raises(ValueError, match="leaf x is divided"),
    ):
        checkpoints.save(1, state, {}, None)


def test_absent_checkpoints_are_named(tmp_path):
    save_steps(tmp_path / "run", {10: None, 20: math.nan})
    for folder in (tmp_path / "none", tmp_path):
        with StoredSteps(folder) as checkpoints:
            assert (checkpoints.steps, checkpoints.latest_step) == ([], None)
            for which in ("latest", "best", 10):
                with pytest.raises(UserError, match=f"no checkpoint in {folder}: train first"):
                    checkpoints.restore(which, None)
    assert not (tmp_path / "none").exists()
    with StoredSteps(tmp_path / "run") as checkpoints:
        assert checkpoints.best_step is None
        with pytest.raises(UserError, match=r"has a score to be the best by.* 10, 20"):
            checkpoints.restore("best", None)
        for which in (15, "newest"):
            with pytest.raises(UserError, match=f"no checkpoint {which} in .* 10, 20"):
                checkpoints.restore(which, None)


def test_reading_changes_nothing_in_the_folder(tmp_path):
    save_steps(tmp_path, {1: 0.5, 2: 0.25, 3: None})
    (tmp_path / "4.tmp.orbax-checkpoint-tmp").mkdir()  # another process is saving
    before = listing(tmp_path)
    with StoredSteps(tmp_path) as checkpoints:
        assert checkpoints.steps == [1, 2, 3]
        for which in ("latest", "best", 1):
            checkpoints.restore(which, None)
    assert listing(tmp_path) == before


def test_killed_while_saving_leaves_the_step_before(tmp_path):
    program = """
import os, signal, sys, time
import numpy as np
from crnn_jax.runs.checkpoint import Checkpoints

folder = sys.argv[1]
checkpoints = Checkpoints(folder, keep_latest=1, keep_best=0)
state = {"x": np.random.default_rng(0).standard_normal(1 << 23)}  # 64 MiB: slow to write
checkpoints.save(1, {"x": np.arange(1000)}, {"step": 1}, 0.5)
checkpoints.restore(1, None)
checkpoints.save(2, state, {"step": 2}, 0.25)
while not any(name.startswith("2.") for name in os.listdir(folder)):
    time.sleep(0.001)
os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run([sys.executable, "-c", program, os.fspath(tmp_path)], check=False)
    assert child.returncode == -signal.SIGKILL
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["1", "2.tmp"], "the save was not under way when it was killed"
    with Checkpoints(tmp_path, keep_latest=2, keep_best=0) as checkpoints:
        step, state, metadata = checkpoints.restore("latest", None)
        assert (step, metadata) == (1, {"step": 1})
        assert (state["x"] == np.arange(1000)).all()
        checkpoints.save(3, {"x": np.arange(2000)}, {"step": 3}, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "3"]


def test_end_of_the_context_finishes_the_save_even_on_an_error(tmp_path):
    def fail():
        with Checkpoints(tmp_path, keep_latest=1, keep_best=0) as checkpoints:
            checkpoints.save(1, {"x": np.zeros(1 << 20)}, {}, None)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with StoredSteps(tmp_path) as checkpoints:
        assert checkpoints.steps == [1]
        checkpoints.restore(1, None)


@pytest.mark.parametrize("then", ["close", "restore", "save", "check"])
def test_failed_save_is_raised_and_leaves_the_step_before(tmp_path, then):
    save_steps(tmp_path, {1: None}, keep_latest=1)
    checkpoints = Checkpoints(tmp_path, keep_latest=1, keep_best=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))  # no file above 1 MiB: a full disk
    try:
        checkpoints.save(2, {"x": np.random.default_rng(0).standard_normal(1 << 20)}, {}, None)
        with pytest.raises(NotSaved, match="File too large"):
            {
                "close": checkpoints.close,
                "check": lambda: [checkpoints.check() for _ in iter(lambda: time.sleep(0.01), 0)],
                "restore": lambda: checkpoints.restore("latest", None),
                "save": lambda: checkpoints.save(3, {"x": np.zeros(1)}, {}, None),
            }[then]()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name for path in tmp_path.iterdir()} == {"1"}
    with StoredSteps(tmp_path) as checkpoints:
        assert checkpoints.restore("latest", None)[2] == {"step": 1}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGE = {
    "array data": lambda step: flip(next((step / "state" / "d").iterdir())),
    "metadata": lambda step: flip(step / "metadata.json"),
    "checksums": lambda step: flip(step / checksums.NAME),
    "no checksums": lambda step: (step / checksums.NAME).unlink(),
    "a file less": lambda step: (step / "metadata.json").unlink(),
    "empty": empty,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_step_is_set_aside_and_the_one_before_is_the_latest(tmp_path, damage):
    scores = {1: 0.3, 2: 0.1, 3: 0.2}
    save_steps(tmp_path, scores)
    damage(tmp_path / "3")
    before = listing(tmp_path)
    said = []
    with StoredSteps(tmp_path, say=said.append) as checkpoints:
        assert checkpoints.restore("latest", None)[2] == {"step": 2}
        assert (checkpoints.steps, checkpoints.latest_step, checkpoints.best_step) == ([1, 2], 2, 2)
        with pytest.raises(UserError, match="no checkpoint 3 in"):
            checkpoints.restore(3, None)
    assert listing(tmp_path) == before
    (line,) = said
    assert line.startswith(f"step 3 in {tmp_path} is damaged: ")

    def reopen():
        said.clear()
        return Checkpoints(tmp_path, keep_latest=9, keep_best=0, say=said.append)

    with reopen() as checkpoints:
        assert checkpoints.restore("latest", None)[2] == {"step": 2}
        checkpoints.save(3, {"x": np.float32([3])}, {"step": 3}, None)
    assert said[0].endswith("; set aside as 3.damaged")
    damage(tmp_path / "3")
    with reopen() as checkpoints:
        assert checkpoints.steps == [1, 2]
    assert said[0].endswith("; set aside as 3.damaged-2")
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2", "3.damaged", "3.damaged-2"}


def test_a_run_none_of_whose_steps_is_good_is_not_begun_anew(tmp_path):
    save_steps(tmp_path, {1: 0.3, 2: 0.1})
    for step in (1, 2):
        flip(tmp_path / str(step) / "metadata.json")
    said = []
    for open_it in (
        lambda: StoredSteps(tmp_path, say=said.append).restore("latest"),
        lambda: Checkpoints(tmp_path, keep_latest=1, keep_best=0, say=said.append),
        lambda: Checkpoints(tmp_path, keep_latest=1, keep_best=0, say=said.append),  # once more
    ):
        with pytest.raises(UserError, match=f"^no good checkpoint in {tmp_path}: all 2 are damag"):
            open_it()
    assert len(said) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"1.damaged", "2.damaged"}


def test_a_full_disk_is_seen_before_anything_is_written(tmp_path, monkeypatch):
    save_steps(tmp_path, {1: None})
    before = listing(tmp_path)
    free = shutil.disk_usage(tmp_path)._replace(free=4 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    checkpoints = Checkpoints(tmp_path, keep_latest=1, keep_best=0)
    checkpoints.save(2, {"x": np.zeros(1 << 19)}, {}, None)
    with pytest.raises(NotSaved, match=r"\(No space left on device\); the checkpoints from before"):
        checkpoints.close()
    assert listing(tmp_path) == before


def test_a_folder_that_vanished_is_not_made_again(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run", keep_latest=1, keep_best=0)
    (tmp_path / "run").rmdir()
    checkpoints.save(1, {"x": np.zeros(1)}, {}, None)
    with pytest.raises(NotSaved, match=r"^step 1 cannot be saved in .* \(the folder is gone\)"):
        checkpoints.close()
    assert not (tmp_path / "run").exists()


def test_relative_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_steps("run", {1: None})
    assert (tmp_path / "run" / "1").is_dir()


def test_an_old_step_that_someone_has_removed_is_not_missed(tmp_path):
    with Checkpoints(tmp_path, keep_latest=2, keep_best=0) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, {"x": np.float32([step])}, {}, None)
            if step == 2:
                checkpoints.restore("latest", None)  # it is written by now
                shutil.rmtree(tmp_path / "1")
    assert {path.name for path in tmp_path.iterdir()} == {"2", "3"}


def test_what_is_no_step_is_passed_over(tmp_path):
    (tmp_path / "note.tmp").write_text("a file")
    (tmp_path / "007").mkdir()
    assert save_steps(tmp_path, {1: None}) == [1]
    assert {path.name for path in tmp_path.iterdir()} == {"note.tmp", "007", "1"}


def test_a_step_that_the_run_has_removed_meanwhile_is_said_to_be_gone(tmp_path):
    save_steps(tmp_path, {1: None})
    with StoredSteps(tmp_path) as checkpoints:
        shutil.rmtree(tmp_path / "1")
        with pytest.raises(UserError, match=f"^{tmp_path / '1'} was deleted by the run"):
            checkpoints.restore("latest", None)


def test_files_that_a_file_manager_left_harm_no_step(tmp_path):
    save_steps(tmp_path, {1: 0.5})
    for place in (".DS_Store", "1/.DS_Store", "1/state/Thumbs.db", "1/state/d/._x"):
        (tmp_path / place).write_text("foreign")
    for opened in (
        StoredSteps(tmp_path),
        Checkpoints(tmp_path, keep_latest=1, keep_best=0),
    ):
        with opened as checkpoints:
            assert checkpoints.restore("best")[2] == {"step": 1}
    assert (tmp_path / "1").is_dir()


def test_only_the_step_asked_for_is_checked(tmp_path):
    save_steps(tmp_path, {1: 0.3, 2: 0.1, 3: 0.2})
    for step in (1, 3):
        flip(next((tmp_path / str(step) / "state" / "d").iterdir()))
    said = []
    with StoredSteps(tmp_path, say=said.append) as checkpoints:
        assert checkpoints.restore("best", part="x")[:2] == (2, {"x": [2]})
        assert said == []
        assert checkpoints.restore("latest")[0] == 2
    assert len(said) == 1


def test_what_is_wrong_with_the_machine_is_not_called_damage(tmp_path, monkeypatch):
    save_steps(tmp_path, {1: 0.3, 2: 0.1})

    def out_of_files(*_):
        raise OSError(24, "Too many open files")

    for name in ("checksums.damage", "step.read_state"):
        with monkeypatch.context() as patch:
            patch.setattr(f"crnn_jax.runs.{name}", out_of_files)
            with (
                pytest.raises(UserError, match=f"^{tmp_path / '2'} cannot be read .*Too many open"),
                StoredSteps(tmp_path) as checkpoints,
            ):
                checkpoints.restore("latest")
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2"}


def test_no_hook_of_a_save_outlives_it(tmp_path):
    before = threading.excepthook
    save_steps(tmp_path, {1: None})
    assert threading.excepthook is before


def test_scores_on_other_sequences_are_not_compared(tmp_path):
    def drawn(**settings):
        return {"config": {"eval": settings}}

    said = []
    steps = [
        (1, drawn(seed=1), 0.1),
        (2, drawn(), 0.2),  # the default
        (3, drawn(seed=2), 0.9),
        (4, drawn(seed=2), 0.8),
        (5, drawn(seed=2, validation_sequences=7), 2.0),
    ]
    best = []
    for step, metadata, score in steps:  # of a process each
        with Checkpoints(tmp_path, keep_latest=9, keep_best=1, say=said.append) as checkpoints:
            checkpoints.save(step, {"x": np.float32([step])}, metadata, score)
            best.append(checkpoints.best_step)
        with StoredSteps(tmp_path) as stored:
            assert stored.best_step == best[-1]
    assert best == [1, 1, 3, 4, 5]
    assert [line.split()[-2] for line in said] == ["3", "5"]
