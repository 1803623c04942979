"""Real clusters of one machine, which these tests start: Open MPI and Slurm."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from tests import tiny
from tests.tiny import config_text, takes_long

# Long enough to be stopped; nothing is saved until then.
LONG = [f"--config.{name}=1000000" for name in ("train.steps", "eval.every", "checkpoint.every")]

SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
# A job that is requeued waits until its credential has expired, 2 minutes by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
# JAX makes its port of the job's number.
FirstJobId={first_job}
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
MpiDefault=none
GresTypes=gpu
# The processors and GPUs need not be there.
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 Gres=gpu:4
PartitionName=all Nodes=ALL Default=YES
"""

# In place of python: says which GPUs JAX chooses.
CHOICE = """#!{python}
import os

import jax

jax.distributed.initialize()
chosen = jax._src.xla_bridge.CUDA_VISIBLE_DEVICES.value
print(jax.process_index(), chosen, os.environ["CUDA_VISIBLE_DEVICES"])
"""

# In place of python: takes its time to leave, as for a checkpoint of a large network.
SLOW = """#!{python}
import os, signal, sys, time

def leave(number, frame):
    time.sleep(3)
    print("saved", len(os.sched_getaffinity(0)), flush=True)
    sys.exit(143)

signal.signal(signal.SIGTERM, leave)
print("ready", flush=True)
time.sleep(60)
"""


def needs(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    return pytest.mark.skipif(
        bool(missing), reason=f"{', '.join(missing)} not installed: make test-cluster installs it"
    )


@pytest.fixture(scope="module")
def cluster_dir(tmp_path_factory):
    """The folder that jobs start in, with a config file."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "tiny.py").write_text(config_text())
    return folder


@pytest.fixture(scope="module")
def environment(project, cluster_dir):
    """Of the jobs: this Python, one device in each process, quick to compile."""
    return tiny.environment(cluster_dir, project) | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin",
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        # This machine may have fewer cores, and the tests may run as root.
        "OMPI_MCA_rmaps_base_oversubscribe": "true",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }


@pytest.fixture(scope="module")
def flags(data_dir):
    return ["--config=tiny.py", f"--config.data.data_dir={data_dir}"]


@pytest.fixture(scope="module")
def execute(environment, cluster_dir):
    """Runs a command to its end, which must be good; returns what it prints."""

    def run(*command, **more):
        done = subprocess.run(
            command,
            cwd=cluster_dir,
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def expected_losses(execute, flags, cluster_dir):
    """Of training in one process with two devices."""
    train = [sys.executable, "-m", "crnn_jax.main", *flags, "--workdir=expected"]
    execute(*train, JAX_NUM_CPU_DEVICES="2")
    return losses(cluster_dir / "expected")


def points(workdir):
    path = workdir / "metrics.jsonl"
    return list(map(json.loads, path.read_text().splitlines())) if path.exists() else []


def losses(workdir):
    return [(point["step"], point["loss"]) for point in points(workdir) if "loss" in point]


def wait_until(condition, what, seconds=120):
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, f"{what} has not happened within {seconds} s"
        time.sleep(0.1)
    return result


def assert_trained(workdir, output, expected):
    assert output.count("test sequences") == 1  # one process speaks
    assert json.loads((workdir / "results.json").read_text())["step"] == 8
    assert losses(workdir) == expected


def saved_steps(workdir):
    names = [path.name for path in (workdir / "checkpoints").glob("*")]
    return sorted(int(name) for name in names if name.isdecimal())


@needs("mpirun")
def test_open_mpi_trains_as_one_process_does(execute, project, flags, cluster_dir, expected_losses):
    output = execute(project / "launch" / "mpi.sh", "-n", "2", "--", *flags, "--workdir=mpi")
    assert_trained(cluster_dir / "mpi", output, expected_losses)


@takes_long
@needs("mpirun")
def test_open_mpi_saves_a_checkpoint_when_it_is_stopped(project, flags, cluster_dir, environment):
    workdir = cluster_dir / "mpi-stopped"
    command = [
        project / "launch" / "mpi.sh",
        "-n",
        "2",
        "--",
        *flags,
        *LONG,
        f"--workdir={workdir}",
    ]

    def train_and_stop(after):
        with subprocess.Popen(
            command, cwd=cluster_dir, env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                wait_until(lambda: points(workdir)[after:] or process.poll(), "training")
                process.terminate()
                _, err = process.communicate(timeout=60)
            finally:
                process.kill()
        return process.returncode, err

    status, err = train_and_stop(0)
    assert status == 1, err  # mpirun's own
    (step,) = saved_steps(workdir)
    assert f"stopped by SIGTERM after step {step}" in err
    _, err = train_and_stop(len(points(workdir)))
    assert f"resuming the run in {workdir} from step {step}\n" in err
    assert saved_steps(workdir)[-1] > step


@needs("mpirun")
def test_open_mpi_leaves_each_process_time_to_save_and_all_cores(project, tmp_path, environment):
    stub = tmp_path / "python"
    stub.write_text(SLOW.format(python=sys.executable))
    stub.chmod(0o755)
    with subprocess.Popen(
        [project / "launch" / "mpi.sh", "-n", "2", "--"],
        env=environment | {"PATH": f"{tmp_path}:{environment['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert [process.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
            process.terminate()
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert out == f"saved {len(os.sched_getaffinity(0))}\n" * 2


@pytest.fixture(scope="module")
def slurm(tmp_path_factory, environment):
    """Starts a Slurm of one node; returns the environment in which its commands find it."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to start Slurm's services: make test-cluster uses sudo")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    with socket.create_server(("", 0)) as one, socket.create_server(("", 0)) as other:
        ports = [server.getsockname()[1] for server in (one, other)]
    host = socket.gethostname().partition(".")[0]
    first_job = 1 + int.from_bytes(os.urandom(2)) % 4096
    conf = folder / "slurm.conf"
    conf.write_text(SLURM_CONF.format(folder=folder, host=host, ports=ports, first_job=first_job))
    for number in range(4):
        (folder / f"gpu{number}").symlink_to("/dev/null")
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File={folder}/gpu[0-3]\n")
    munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    services = [
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *munge],
        ["slurmctld", "-D", "-f", conf],
        ["slurmd", "-D", "-f", conf],
    ]
    of_slurm = environment | {"SLURM_CONF": str(conf)}
    running = []
    try:
        for service in services:
            log = (folder / f"{service[0]}.out").open("w")
            running.append(subprocess.Popen(service, env=of_slurm, stdout=log, stderr=log))
            log.close()
            if service[0] == "munged":
                wait_until((folder / "munge.socket").exists, "the start of munged", 10)

        def idle():
            sinfo = ["sinfo", "--noheader", "--format=%T"]
            return subprocess.run(sinfo, env=of_slurm, capture_output=True).stdout == b"idle\n"

        wait_until(idle, "the start of Slurm", 30)
        yield {"SLURM_CONF": str(conf)}
    finally:
        subprocess.run(["scancel", "--user=root"], env=of_slurm, timeout=30, check=False)
        for process in reversed(running):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def submit(slurm, execute, project):
    """Submits launch/slurm.sbatch; returns the job's number."""

    def run(options, *arguments, **more):
        script = project / "launch" / "slurm.sbatch"
        return execute(
            "sbatch", "--parsable", *options, script, *arguments, **slurm, **more
        ).strip()

    return run


SLURM = needs("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol")


@takes_long
@SLURM
def test_srun_trains_as_one_process_does(slurm, execute, flags, cluster_dir, expected_losses):
    train = ["python", "-m", "crnn_jax.main", "--distributed", *flags, "--workdir=srun"]
    output = execute("srun", "--ntasks=2", *train, **slurm)
    assert_trained(cluster_dir / "srun", output, expected_losses)


@takes_long
@SLURM
def test_a_requeued_job_saves_a_checkpoint_and_resumes(slurm, submit, execute, flags, cluster_dir):
    workdir = cluster_dir / "requeued"
    output = cluster_dir / "requeued.out"
    options = ["--ntasks=2", f"--output={output}"]
    job = submit(options, *flags, *LONG, f"--workdir={workdir}")
    try:
        wait_until(lambda: points(workdir), "training")
        assert not saved_steps(workdir)
        execute("scontrol", "requeue", job, **slurm)
        (step,) = wait_until(lambda: saved_steps(workdir), "saving a checkpoint", 60)
        resumed = f"resuming the run in {workdir} from step {step}\n"
        wait_until(lambda: resumed in output.read_text(), "resuming")
        wait_until(lambda: points(workdir)[-1]["step"] > step, "training from there")
        of_job = ["squeue", "--noheader", f"--jobs={job}", "--Format=RestartCnt,State"]
        assert execute(*of_job, **slurm).split() == ["1", "RUNNING"]
    finally:
        execute("scancel", job, **slurm)
    steps = [point["step"] for point in points(workdir)]
    assert steps == list(range(4, 4 * len(steps) + 1, 4))  # each once


@takes_long
@SLURM
@pytest.mark.parametrize(
    ("options", "choices"),
    [
        # Of each process: its number, which GPUs JAX takes of those it sees, which those are.
        (["--gpus-per-node=2", "--ntasks-per-node=2"], ["0 0 0,1", "1 1 0,1"]),
        (["--gpus-per-node=2", "--ntasks-per-node=1"], ["0 0,1 0,1"]),
        (["--gpus-per-task=1", "--ntasks=2"], ["0 0 0", "1 0 1"]),
        (["--gpus-per-task=2", "--ntasks=2"], ["0 0,1 0,1", "1 0,1 2,3"]),
    ],
)
def test_slurm_gives_each_task_its_gpus(
    slurm, submit, execute, tmp_path, environment, options, choices
):
    stub = tmp_path / "python"
    stub.write_text(CHOICE.format(python=sys.executable))
    stub.chmod(0o755)
    output = tmp_path / "out"
    job = submit([*options, f"--output={output}"], PATH=f"{tmp_path}:{environment['PATH']}")
    of_job = ["squeue", "--noheader", f"--jobs={job}"]
    wait_until(lambda: not execute(*of_job, **slurm), "the end of the job")
    assert sorted(output.read_text().splitlines()) == choices
