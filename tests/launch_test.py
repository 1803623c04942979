"""The ways to start a run: what they would run, what they refuse, and one small run of two."""

import importlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import pytest
import yaml

from tests.tiny import config_text, takes_long

TRAIN = "-m crnn_jax.main"
SCRIPTS = ("local.sh", "mpi.sh", "slurm.sbatch", "tpu_pod.sh")


@pytest.fixture
def launch(project, tmp_path):
    """Runs launch/NAME in an empty folder and an environment of its own."""
    python = Path(sys.executable).parent
    own = {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{python}:{os.environ['PATH']}"}

    def run(name, *arguments, **environment):
        return subprocess.run(
            ["bash", project / "launch" / name, *arguments],
            cwd=tmp_path,
            env=own | {key: str(value) for key, value in environment.items()},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


@pytest.fixture
def would_run(launch):
    """The commands that a script prints for --dry-run, each as a list of words."""

    def words(name, *arguments, **environment):
        done = launch(name, "--dry-run", *arguments, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        return [shlex.split(line) for line in done.stdout.splitlines()]

    return words


@pytest.fixture
def stub(tmp_path):
    """Puts a program before all others of its name: a shell script with the given lines."""

    def put(name, lines):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{lines}\n")
        path.chmod(0o755)

    return put


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_how_to_use_it_and_stops_at_errors(project, name):
    lines = (project / "launch" / name).read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert any(line.startswith("# usage: ") and f"launch/{name}" in line for line in lines)
    first = next(line for line in lines if line and not line.startswith("#"))
    assert first == "set -euo pipefail"


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing(project, name):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed: make test-cluster installs it")
    done = subprocess.run(["shellcheck", project / "launch" / name], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("name", "arguments", "environment", "words"),
    [
        ("local.sh", ["--processes=0"], {}, ["--processes=0", "from 1"]),
        ("local.sh", ["--processes=two"], {}, ["--processes=two", "--processes=N"]),
        ("local.sh", ["--devices=-1"], {}, ["--devices=-1", "--devices=N"]),
        ("local.sh", ["--devices", "8"], {}, ["--devices", "expected --devices=N"]),
        ("local.sh", ["--device=8"], {}, ["unknown flag --device", "--help"]),
        ("local.sh", [], {}, ["--config is not given"]),
        ("mpi.sh", [], {}, ["-- is missing"]),
        ("mpi.sh", ["-n", "2"], {}, ["-- is missing", "launch/mpi.sh"]),
        ("mpi.sh", ["-n", "2", "--config=a.py"], {}, ["--config=a.py", "mpirun's options"]),
        ("slurm.sbatch", ["--config=a.py"], {}, ["no Slurm job", "sbatch launch/slurm.sbatch"]),
        (
            "slurm.sbatch",
            ["--config=a.py"],
            {"SLURM_JOB_ID": 1, "SLURM_NTASKS": 2, "SLURM_NNODES": 1, "SLURM_GPUS_ON_NODE": 4},
            ["2 tasks for 1 x 4 GPUs", "a task per GPU or per node"],
        ),
        ("tpu_pod.sh", [], {}, ["no TPU and zone"]),
        ("tpu_pod.sh", ["my-tpu", "--config=a.py"], {}, ["no TPU and zone"]),
    ],
)
def test_a_wrong_argument_is_one_line(
    launch, stub, tmp_path, project, name, arguments, environment, words
):
    for program in ("mpirun", "srun", "gcloud"):
        stub(program, "echo started")
    done = launch(name, *arguments, PYTHONPATH=project, **environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_local_takes_all_devices_by_default(would_run):
    assert would_run("local.sh", "--config=a b.py", "--workdir=x") == [
        ["env", "python", *TRAIN.split(), "--config=a b.py", "--workdir=x"]
    ]


def test_local_simulates_devices(would_run):
    (words,) = would_run("local.sh", "--config=a.py", "--devices=8", XLA_FLAGS="--xla_other")
    assert words == [
        "env",
        "JAX_PLATFORMS=cpu",
        "JAX_NUM_CPU_DEVICES=8",
        "XLA_FLAGS=--xla_other --xla_cpu_multi_thread_eigen=false",
        "PJRT_NPROC=8",
        *f"python {TRAIN} --config=a.py".split(),
    ]


def test_local_gives_each_process_a_device_of_its_own(would_run):
    commands = would_run("local.sh", "--processes=3", "--config=a.py")
    (port,) = {re.search(r"localhost:(\d+)", " ".join(words))[1] for words in commands}
    assert commands == [
        "env JAX_NUM_CPU_DEVICES=1 XLA_FLAGS=--xla_cpu_multi_thread_eigen=false PJRT_NPROC=1 "
        f"JAX_LOCAL_DEVICE_IDS={i} python {TRAIN} --coordinator=localhost:{port} "
        f"--num_processes=3 --process_id={i} --config=a.py".split()
        for i in range(3)
    ]
    assert {w for words in would_run("local.sh", "--processes=2", "--devices=4") for w in words} > {
        "JAX_PLATFORMS=cpu",
        "JAX_NUM_CPU_DEVICES=4",
    }


# In place of python -m crnn_jax.main: notes which signals come, and leaves as that would; process 0
# last, which saves a checkpoint.
SIGNALLED = """
import os, signal, sys, time
came = []
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: came.append(number))
print(os.getpgrp(), flush=True)
for _ in range(300):
    time.sleep(0 if came else 0.05)
time.sleep(1.5 if "--process_id=0" in sys.argv else 0.5)
open(f"left-{os.getpid()}", "w").write(str(came))
sys.exit(128 + came[0] if came else 1)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_local_passes_a_signal_on_once(project, stub, tmp_path, number):
    (tmp_path / "signalled.py").write_text(SIGNALLED)
    python = sys.executable
    stub("python", f'[[ $1 == -m ]] || exec {python} "$@"\nexec {python} signalled.py "$@"')
    with subprocess.Popen(
        # A shell that began with SIGINT ignored, as in the background, cannot trap it.
        [
            *("env", "--default-signal=INT", "bash", project / "launch" / "local.sh"),
            *("--processes=3", "--config=a.py"),
        ],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        groups = {int(process.stdout.readline()) for _ in range(3)}
        assert process.pid not in groups  # else Ctrl-C reaches them twice
        os.killpg(process.pid, number)  # as Ctrl-C in a terminal does
        assert process.wait(20) == 128 + number
        came = [path.read_text() for path in tmp_path.glob("left-*")]
    assert came == [f"[{number:d}]"] * 3  # it has waited for all


def test_local_ends_as_its_processes_do(launch, stub):
    stub(
        "python",
        f'[[ $1 == -m ]] || exec {sys.executable} "$@"\n[[ $* != *process_id=1* ]] || exit 7',
    )
    assert launch("local.sh", "--processes=3", "--config=a.py").returncode == 7
    assert launch("local.sh", "--processes=1", "--config=a.py").returncode == 0


@takes_long
def test_local_trains_with_two_processes_as_with_two_devices(launch, project, data_dir, tmp_path):
    (tmp_path / "tiny.py").write_text(config_text())
    shared = {
        "PYTHONPATH": project,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
    }
    flags = ["--config=tiny.py", f"--config.data.data_dir={data_dir}"]
    losses = {}
    for how in ("--devices=2", "--processes=2"):
        workdir = tmp_path / how
        done = launch("local.sh", how, *flags, f"--workdir={workdir}", **shared)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("test sequences") == 1  # one process speaks
        assert json.loads((workdir / "results.json").read_text())["step"] == 8
        lines = (workdir / "metrics.jsonl").read_text().splitlines()
        losses[how] = [point["loss"] for point in map(json.loads, lines) if "loss" in point]
        assert len(losses[how]) == 2
    assert losses["--processes=2"] == losses["--devices=2"]


def test_mpi_gives_mpirun_its_options_and_the_program_the_rest(would_run):
    ((env, *words),) = would_run("mpi.sh", "-n", "2", "--host", "a,b", "--", "--config=a.py", "--x")
    settings = [word for word in words if word.startswith("OMPI_MCA_")]
    assert env == "env"
    assert words[: len(settings)] == settings
    python = shutil.which("python", path=str(Path(sys.executable).parent))
    assert words[len(settings) :] == [
        "mpirun",
        "-n",
        "2",
        "--host",
        "a,b",
        python,
        *f"{TRAIN} --distributed --config=a.py --x".split(),
    ]


SRUN = "srun --kill-on-bad-exit=0"


@pytest.mark.parametrize(
    ("nodes", "tasks", "gpus", "environment"),
    [
        (2, 8, 4, []),  # a task per GPU: JAX takes the GPU of its number
        (2, 2, 4, ["JAX_LOCAL_DEVICE_IDS=0,1,2,3"]),  # a task per node
        (2, 2, 1, ["JAX_LOCAL_DEVICE_IDS=0"]),  # both
        (2, 4, 0, []),  # no GPUs
    ],
)
def test_slurm_uses_all_gpus(would_run, nodes, tasks, gpus, environment):
    job = {"SLURM_NNODES": nodes, "SLURM_NTASKS": tasks, "SLURM_GPUS_ON_NODE": gpus}
    assert would_run("slurm.sbatch", "--config=a.py", **job) == [
        ["env", *environment, *f"{SRUN} python {TRAIN} --distributed --config=a.py".split()]
    ]


def test_slurm_takes_all_gpus_that_a_task_sees(would_run):
    # With --gpus-per-task, Slurm hides the others: JAX would look for the GPU of the task's number.
    job = {"SLURM_NNODES": 2, "SLURM_NTASKS": 4, "SLURM_GPUS_ON_NODE": 4}
    for value in ("2", "a100:2"):
        ((_, first, *_),) = would_run("slurm.sbatch", SLURM_GPUS_PER_TASK=value, **job)
        assert first == "JAX_LOCAL_DEVICE_IDS=0,1"


def test_slurm_takes_over_the_cores_of_a_task(would_run):
    ((_, first, *_),) = would_run("slurm.sbatch", "--config=a.py", SLURM_CPUS_PER_TASK=6)
    assert first == "SRUN_CPUS_PER_TASK=6"


@pytest.mark.parametrize(
    ("name", "program", "arguments", "environment"),
    [
        ("mpi.sh", "mpirun", ["-n", "2", "--", "--config=a b.py"], {}),
        ("slurm.sbatch", "srun", ["--config=a b.py"], {"SLURM_JOB_ID": 1}),
        ("tpu_pod.sh", "gcloud", ["my-tpu", "my-zone", "--config=a b.py"], {}),
    ],
)
def test_what_runs_is_what_a_dry_run_prints(
    launch, would_run, stub, name, program, arguments, environment
):
    stub(program, 'printf "%s\\n" "$#" "$@"')
    printed = would_run(name, *arguments, **environment)
    done = launch(name, *arguments, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    ran = []
    while lines:
        count = int(lines.pop(0))
        ran.append(lines[:count])
        del lines[:count]
    of_program = [words[words.index(program) + 1 :] for words in printed if program in words]

    def anywhere(commands):  # the archive has another name each time
        return [[re.sub(r"tmp\.\w+", "tmp", word) for word in words] for words in commands]

    assert ran
    assert anywhere(ran) == anywhere(of_program)


def test_tpu_pod_copies_the_project_and_trains_on_every_host(launch, stub, tmp_path):
    home = tmp_path / "host"
    home.mkdir()
    stub(  # a host: copies as scp does, and runs the command in its home
        "gcloud",
        f'cd {home}; for word; do case $word in /*.gz) cp "$word" crnn_jax.tar.gz ;; '
        '--command=*) bash -c "${word#*=}" ;; esac; done',
    )
    stub(
        "python3",
        "mkdir -p .venv/bin; cp ../../bin/pip ../../bin/train .venv/bin\n"
        "mv .venv/bin/train .venv/bin/python",
    )
    stub("pip", 'echo "pip $*"')
    stub("train", """printf '<%s>' "$@"; echo""")
    done = launch("tpu_pod.sh", "my-tpu", "my-zone", "--config=a b.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "pip install --quiet --constraint constraints.txt --editable .[tpu]",
        "<-m><crnn_jax.main><--distributed><--config=a b.py>",
    ]
    copied = {path.name for path in (home / "crnn_jax").iterdir()}
    assert copied >= {"crnn_jax", "configs", "pyproject.toml", ".venv"}
    assert not copied & {".git", "runs", ".venv-bench"}


@pytest.fixture(scope="module")
def documents(project):
    """The Kubernetes objects of the JobSet's file, by kind."""
    text = (project / "launch" / "k8s" / "jobset.yaml").read_text()
    documents = list(yaml.safe_load_all(text))
    return {document["kind"]: document for document in documents}


@pytest.fixture
def job(documents):
    """The Job that JobSet makes of its template."""
    (replicated,) = documents["JobSet"]["spec"]["replicatedJobs"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {}} | replicated["template"]


# The fields of JobSet's v1alpha2 that the file uses, as its reference describes them.
JOB_SET = {
    "properties": {
        "apiVersion": {"const": "jobset.x-k8s.io/v1alpha2"},
        "kind": {"const": "JobSet"},
        "metadata": {"required": ["name"]},
        "spec": {
            "properties": {
                "failurePolicy": {
                    "properties": {"maxRestarts": {"type": "integer"}},
                    "additionalProperties": False,
                },
                "replicatedJobs": {
                    "type": "array",
                    "items": {
                        "properties": {
                            "name": {"type": "string"},
                            "replicas": {"type": "integer"},
                            "template": {
                                "properties": {"metadata": {}, "spec": {}},
                                "required": ["spec"],
                                "additionalProperties": False,
                            },
                        },
                        "required": ["name", "template"],
                        "additionalProperties": False,
                    },
                },
            },
            "additionalProperties": False,
        },
    },
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
}


def test_every_kubernetes_object_follows_its_schema(documents, job):
    schemas = pytest.importorskip("kubernetes_validate", reason="make test-cluster installs it")
    kinds = {"ServiceAccount", "Role", "RoleBinding", "PersistentVolumeClaim"}
    assert set(documents) == {*kinds, "JobSet"}
    for document in (*(documents[kind] for kind in kinds), job):
        schemas.validate(document, "1.34", strict=True)
    importlib.import_module("jsonschema").validate(documents["JobSet"], JOB_SET)
    job["spec"]["paralelism"] = 2
    with pytest.raises(schemas.ValidationError, match="paralelism"):
        schemas.validate(job, "1.34", strict=True)


def test_kubernetes_objects_refer_to_each_other(documents, job):
    account = documents["ServiceAccount"]["metadata"]["name"]
    (subject,) = documents["RoleBinding"]["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": account}
    role = {key: documents["RoleBinding"]["roleRef"][key] for key in ("kind", "name")}
    assert role == {"kind": "Role", "name": documents["Role"]["metadata"]["name"]}
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account
    (volume,) = pod["volumes"]
    claim = documents["PersistentVolumeClaim"]["metadata"]["name"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim
    (container,) = pod["containers"]
    assert [mount["name"] for mount in container["volumeMounts"]] == [volume["name"]]


def test_jax_finds_the_pods_of_the_jobset(documents, job):
    # As jax/_src/clusters/k8s_cluster.py asks: the pods of its address, and the job of one.
    allowed = {
        (group, resource): set(rule["verbs"])
        for rule in documents["Role"]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert allowed == {("", "pods"): {"list"}, ("batch", "jobs"): {"get"}}
    spec = job["spec"]
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"] > 1
    # JAX looks for process 0 at <job>-0.<JobSet>: JobSet's default, where no subdomain is given.
    assert "network" not in documents["JobSet"]["spec"]
    # A process cannot come back alone, so a pod that fails must end its job.
    assert spec["backoffLimit"] == 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_the_image_trains_what_the_jobset_says(project, job):
    lines = (project / "launch" / "k8s" / "Dockerfile").read_text().splitlines()
    sources = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    for source in sources:
        assert (project / source).exists()
    settings = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    (extra,) = [line.partition("DEVICE=")[2] for line in lines if line.startswith("ARG DEVICE=")]
    assert extra in settings["optional-dependencies"]
    assert settings["readme"] in sources  # the build reads it
    (entry,) = [line.partition(" ")[2] for line in lines if line.startswith("ENTRYPOINT")]
    assert json.loads(entry) == ["python", *TRAIN.split()]
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--distributed" in arguments
    (config,) = [word.partition("=")[2] for word in arguments if word.startswith("--config=")]
    assert (project / config).exists()
    assert Path(config).parts[0] in sources
