"""run.json: what a result depends on besides the config."""

import subprocess
import sys
from pathlib import Path

import jax
import pytest

import crnn_jax
from crnn_jax import UserError
from crnn_jax.runs import record


def test_what_a_result_depends_on_is_recorded():
    found = record.describe("mnist:0123", deterministic=False)
    assert found["corpus"] == "mnist:0123"
    assert len(found["devices"]) == 8
    assert found["processes"] == 1
    assert set(found) >= {"started", "command", "git_revision", "python", "platform"}
    assert found["versions"]["jax"][0].isdigit()
    assert found["numerics"]["jax_enable_x64"] is False
    assert found["numerics"]["jax_threefry_partitionable"] is True


def test_bits_repeat_on_a_cpu_and_where_a_gpu_is_told_to(monkeypatch):
    def recorded(asked):
        return record.describe("mnist:0123", deterministic=asked)["deterministic"]

    assert recorded(False) is recorded(True) is True
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert (recorded(False), recorded(True)) == (False, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jax_enable_x64", True),
        ("jax_threefry_partitionable", False),
        ("jax_default_prng_impl", "rbg"),
        ("jax_default_matmul_precision", "highest"),
    ],
)
def test_settings_that_change_numbers_are_refused_on_resume(tmp_path, name, value):
    begun_with = record.describe("mnist:0123", deterministic=True)
    record.check_numerics(begun_with, tmp_path)
    record.check_numerics({"corpus": "mnist:0123"}, tmp_path)  # of revision 63bc817
    before = getattr(jax.config, name)
    jax.config.update(name, value)
    try:
        with pytest.raises(UserError, match=f"began with {name}={before}, and now it is {value}:"):
            record.check_numerics(begun_with, tmp_path)
    finally:
        jax.config.update(name, before)


def test_only_the_projects_own_repository_is_recorded(tmp_path):
    """An installed package may lie in a repository of something else."""

    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *who, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def revision(installed):
        ask = "from crnn_jax.runs.record import git_revision; print(git_revision())"
        child = subprocess.run(
            [sys.executable, "-c", ask],
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(installed), "JAX_PLATFORMS": "cpu"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return child.stdout.strip()

    git("init", "--quiet")
    (tmp_path / "thesis.tex").write_text("mine")
    site = tmp_path / "venv" / "site-packages"
    site.mkdir(parents=True)
    (site / "crnn_jax").symlink_to(Path(crnn_jax.__file__).parent, target_is_directory=True)
    git("add", ".")
    git("commit", "--quiet", "--message", "all")
    assert revision(site) == "unknown"
    own = tmp_path / "crnn_jax"
    own.symlink_to(Path(crnn_jax.__file__).parent, target_is_directory=True)
    assert revision(tmp_path) == "unknown"  # in its place, but not tracked
