"""What is exported answers as the network does, and says so; nothing is ever half written."""

import dataclasses
import importlib.util
import json
import subprocess
import sys

import jax
import jax.export
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from crnn_jax import UserError, export, main
from crnn_jax.export import compare, stablehlo
from crnn_jax.export.about import about
from crnn_jax.export.answers import functions, no_steps, rows_as_lanes, whole
from crnn_jax.export.compare import Rows
from crnn_jax.model.backend import portable
from crnn_jax.model.columns import Columns
from tests.networks import asking, clip_predictor, digits, random_params, restored

ALL = "stablehlo,onnx,safetensors"


def sums(config):
    config.model.convs = ((4, 5, True, "same"), (3, 3, "tall"), (6, 2, False))
    config.model.dense, config.model.gru_units = (8,), (6, 5)
    return restored(asking(config), digits())


def classes(config):
    asking(config, "class")
    config.model.convs, config.model.class_bottleneck = ((2, 5, True),), True
    config.model.aggregator, config.model.gru_units = "none", ()
    return restored(config, digits())


def means(config):
    asking(config, head="cumulative")
    config.model.convs, config.model.class_bottleneck = (), True
    config.model.aggregator, config.model.gru_units = "mean", ()
    return restored(config, digits())


def clips(answer, aggregator):
    return lambda config: clip_predictor(config, answer, aggregator=aggregator).restored


NETWORKS = {
    "sums": sums,
    "classes": classes,
    "means": means,
    "clips": clips("class", "bigru"),
    "clips_so_far": clips("class", "gru"),
    "numbers": clips("numbers", "gru"),
    "numbers_both_ways": clips("numbers", "bigru"),
    "text": clips("text", "bigru"),
    "text_so_far": clips("text", "gru"),
}


def rows(restored, seed=0):
    """A batch of sequences of all lengths."""
    question, rng = restored.task.question, np.random.default_rng(seed)
    lengths_B = (1 + np.arange(5) % question.steps).astype(np.int32)
    shape = (5, question.steps, *question.frame_shape)
    return [Rows(rng.integers(0, 256, shape, np.uint8), lengths_B)]


@pytest.fixture(params=[name for name in NETWORKS if name != "text_so_far"])
def network(request, tiny_config):
    """A network, its functions, sequences and the right answers about them."""
    given = NETWORKS[request.param](tiny_config)
    batches = rows(given)
    answers = jax.jit(whole(given.network, given.params, given.task.question))
    return given, functions(given), batches, [jax.device_get(answers(*x)) for x in batches]


def assert_as_right(network, read_whole, read_step):
    given, exported, batches, right = network
    found = compare.of_whole(read_whole, right, batches)
    assert found.largest < 1e-5
    assert found.answers == 0
    assert (read_step is None) == (no_steps(given) is not None)
    if read_step:
        question = given.task.question
        found = compare.of_steps(read_step, exported.state, question, right, batches)
        assert found.largest < 1e-5
        assert found.answers == 0


def test_stablehlo_answers_as_the_network(network):
    files = stablehlo.files(network[1])
    step = files.get("step.stablehlo")
    assert_as_right(
        network,
        stablehlo.reader(files["network.stablehlo"]),
        step and stablehlo.reader(step),
    )


def test_onnx_answers_as_the_network(network):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    from crnn_jax.export import onnx_files

    files = onnx_files.files(network[1])
    step = files.get("step.onnx")
    assert_as_right(
        network,
        onnx_files.whole_reader(files["network.onnx"]),
        step and onnx_files.step_reader(step),
    )


@pytest.mark.parametrize("beam", [1, 3])
def test_texts_of_lines_are_as_the_network_reads_them(beam, tiny_config):
    """By ONNX too, where it reads the most probable path; a beam search is refused."""
    tiny_config.model.beam = beam
    given = restored(asking(tiny_config, "line", "ctc"), digits(), scale=1.0)
    batches, exported = rows(given), functions(given)
    answers = jax.jit(whole(given.network, given.params, given.task.question))
    right = [jax.device_get(answers(*x)) for x in batches]
    readers = [stablehlo.reader(stablehlo.files(exported)["network.stablehlo"])]
    if importlib.util.find_spec("onnxruntime") and beam == 1:
        from crnn_jax.export import onnx_files

        content = onnx_files.files(exported)["network.onnx"]
        readers.append(onnx_files.whole_reader(content))
    elif beam > 1:
        with pytest.raises(UserError, match=r"a beam search \(model\.beam\) cannot be written"):
            export._check_onnx(exported, ["onnx"])
    for read in readers:
        found = compare.of_whole(read, right, batches)
        assert found.largest < 1e-5
        assert found.answers == 0
    assert right[0].keys() == {"answer", "confidence", "whole", "steps"}
    described = about(given, exported, {}, {})
    assert described["names"] == list("0123456789")
    assert "strips of one upright picture" in described["preprocessing"]


def test_steps_of_a_whole_answer_are_those_of_the_sequence_so_far(tiny_config):
    given = NETWORKS["clips_so_far"](tiny_config)
    exported, (batch,) = functions(given), rows(given)
    answers = jax.jit(whole(given.network, given.params, given.task.question))
    step = jax.jit(exported.step)
    state = {n: np.zeros((5, *x.shape[1:]), x.dtype) for n, x in exported.state.items()}
    for t in range(batch.frames_BxLxHxWxC.shape[1]):
        state, found = step(state, batch.frames_BxLxHxWxC[:, t])
        expected = answers(batch.frames_BxLxHxWxC, np.full(5, t + 1, np.int32))
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sums", None),
        ("numbers_both_ways", "model.aggregator=bigru also reads from the last frame"),
        ("text", "model.aggregator=bigru also reads from the last frame"),
        ("text_so_far", "model.head=decoder writes after it has seen the whole sequence"),
    ],
)
def test_steps_are_refused_with_the_reason(name, reason, tiny_config):
    found = no_steps(NETWORKS[name](tiny_config))
    assert found is None if reason is None else found.startswith(reason)


def test_lines_are_exported_one_a_row_at_any_width(tiny_config):
    tiny_config.model.gru_units, tiny_config.model.aggregator = (5,), "bigru"
    given = restored(asking(tiny_config, "line", "ctc", 2), digits(), scale=1.0)
    ((frames, lengths),) = rows(given)
    frames[np.arange(frames.shape[1])[None] >= lengths[:, None]] = 0
    read = stablehlo.reader(stablehlo.files(functions(given))["network.stablehlo"])
    answers = read(np.pad(frames, [(0, 0), (0, 3), *[(0, 0)] * 3]), lengths)
    written = np.asarray(answers["answer"])
    assert (written >= 0).any()
    for i, length in enumerate(lengths):
        alone = read(frames[i : i + 1, :length], lengths[i : i + 1])
        np.testing.assert_array_equal(written[i, :length], alone["answer"][0])
        assert (written[i, length:] == -1).all()
        np.testing.assert_allclose(answers["whole"][i], alone["whole"][0], atol=1e-6)


def test_lines_are_encoded_as_by_the_network():
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    import onnxruntime

    from crnn_jax.export.graph import Graph
    from crnn_jax.export.onnx_encoder import encode

    convs = ((3, 5, True, "same"), (48, 3, True, "same"), (5, 3, "tall", "same"))
    encoder = Columns(convs, (6,), "relu", 0.0, jax.numpy.dtype("float32"))
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, 5, 16, 4, 1), np.uint8)
    lengths = np.array([5, 3, 1], np.int32)
    frames[np.arange(5)[None] >= lengths[:, None]] = 0
    lanes = rows_as_lanes(frames, lengths)
    shapes = jax.eval_shape(encoder.init, jax.random.key(0), frames.swapaxes(0, 1), None, lanes)
    params = random_params(shapes)

    def features(frames, lengths):
        x = jax.numpy.swapaxes(frames, 0, 1)
        return encoder.apply(params, x, None, rows_as_lanes(frames, lengths))

    right = np.swapaxes(jax.jit(features)(frames, lengths), 0, 1)
    graph = Graph()
    graph.named(encode(graph, encoder, params["params"], "frames", "lengths"), "features")
    content = graph.model(
        {"frames": ("uint8", ["B", "L", 16, 4, 1]), "lengths": ("int32", ["B"])},
        {"features": ("float32", ["B", "L", 6])},
    )
    session = onnxruntime.InferenceSession(content)
    (found,) = session.run(None, {"frames": frames, "lengths": lengths})
    np.testing.assert_allclose(found, right, atol=1e-5)
    shapes = jax.export.symbolic_args_specs((frames, lengths), ("B, L, ...", "B"))
    with portable():
        exported = jax.export.export(jax.jit(features))(*shapes)
    np.testing.assert_allclose(exported.call(frames, lengths).swapaxes(0, 1), right, atol=1e-5)


def test_a_difference_is_seen(tiny_config):
    given = NETWORKS["clips"](tiny_config)
    batches = rows(given)
    answers = jax.jit(whole(given.network, given.params, given.task.question))
    right = [jax.device_get(answers(*x)) for x in batches]

    def other(*batch):
        found = answers(*batch)
        return {**found, "answer": found["answer"] + 1, "confidence": found["confidence"] + 0.01}

    found = compare.of_whole(other, right, batches)
    assert found.largest == pytest.approx(0.01, rel=1e-3)
    assert found.answers == 5


@pytest.fixture
def run(tiny_config, optdigits, monkeypatch):
    """The command, of a run that needs no training; compares few sequences."""
    tiny_config.model.convs = ()
    given = restored(asking(tiny_config), digits())
    given = dataclasses.replace(given, dataset=optdigits.info)
    monkeypatch.setattr(export, "restore", lambda *_: given)
    monkeypatch.setattr(export, "dataset_of", lambda *_: optdigits)
    monkeypatch.setattr(compare, "SEQUENCES", 20)
    return lambda *flags: main.main(["--mode=export", "--workdir=run", *flags])


def test_the_command(run, tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    monkeypatch.chdir(tmp_path)
    assert run(f"--format={ALL}", "-o", "out") == 0
    printed = capsys.readouterr().out
    assert "20 test sequences" in printed
    assert printed.count("largest difference") == 4
    about = json.loads((tmp_path / "out" / "network.json").read_text())
    assert about["input"]["frames"] == {"dtype": "uint8", "shape": ["B", "L", 28, 28, 1]}
    assert about["columns"] == list(range(37))
    assert about["compared"]["network.onnx"]["largest"] < 1e-5
    weights = load_file(tmp_path / "out" / "weights.safetensors")
    assert weights["answer_head.digit.kernel"].shape == (16, 10)
    assert {*tmp_path.iterdir()} == {tmp_path / "out"}
    checksums = subprocess.run(
        ["sha256sum", *about["sha256"]], cwd=tmp_path / "out", capture_output=True, text=True
    )
    assert [x.split()[0] for x in checksums.stdout.splitlines()] == [*about["sha256"].values()]

    Image.new("L", (28, 28), 99).save(tmp_path / "a.png")
    code = (
        "import runpy, sys; runpy.run_path('out/example_onnx.py', run_name='__main__'); "
        "assert not {'jax', 'crnn_jax'} & {*sys.modules}"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code, "a.png", "a.png"], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    frames = np.full((1, 2, 28, 28, 1), 99, np.uint8)
    given = export.restore()
    answers = whole(given.network, given.params, given.task.question)
    found = jax.jit(answers)(frames, np.array([2], np.int32))
    assert ran.stdout.startswith(f"answer {np.asarray(found['answer'])[0]}\n")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("-o", "new", "--format=onx"), "--format=onx (did you mean onnx?): expected one or more"),
        (("-o", "new", "--format="), "--format=: expected one or more"),
        ((), "--output is not given"),
        (("-o", "full"), "--output=full is there already"),
        (("-o", "full/file"), "--output=full/file is there already"),
        (("-o", "full/file/new"), "cannot be written"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(flags, words, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    monkeypatch.setattr(export, "_files", lambda *_: {})
    assert run(*flags) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert words in error
    assert error.count("\n") == 1
    assert [*tmp_path.rglob("*")] == [tmp_path / "full", tmp_path / "full" / "file"]


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'crnn-jax\[onnx\]'"):
        export.parse_formats(ALL)
    assert export.parse_formats("stablehlo,safetensors") == ["stablehlo", "safetensors"]


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    files = {"a": b"1", "no/folder": b"2"}
    with pytest.raises(UserError, match="cannot be written"):
        export._write(tmp_path / "out", files)
    assert not [*tmp_path.iterdir()]
