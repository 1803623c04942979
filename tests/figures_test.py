"""Figures of a run: all are drawn, of the same sequences as are tested, or nothing is written."""

import jax
import numpy as np
import pytest
from PIL import Image

from crnn_jax import UserError, figures
from crnn_jax.data.draw import Draw
from crnn_jax.data.lanes import padded_lanes
from crnn_jax.evaluate.composed import Evaluation
from crnn_jax.figures import draw_figures
from tests.files import tensorboard_events, write_metrics
from tests.networks import asking, restored


@pytest.fixture(autouse=True)
def few_sequences(monkeypatch):
    monkeypatch.setattr(figures, "SEQUENCES", 75)


def images_of(workdir):
    """Step, tag and bytes of all images that TensorBoard shows."""
    return [
        (event.step, value.tag, value.image.encoded_image_string)
        for event in tensorboard_events(workdir)
        for value in event.summary.value
    ]


NAMES = ["curves", "kernels", "sheet", "hardest", "confusion"]


@pytest.mark.parametrize(
    ("task", "head", "length"),
    [
        ("sum", "marginal", 8),
        ("product", "last", 3),
        ("class", "class", 1),
        ("addition", "decoder", 6),
        ("caption", "decoder", 1),
        ("line", "ctc", 3),
    ],
)
def test_draws_every_figure_of_every_task(task, head, length, tiny_config, optdigits, tmp_path):
    network = restored(asking(tiny_config, task, head, length), optdigits.info)
    write_metrics(tmp_path)
    paths = draw_figures(network, optdigits, tmp_path, beside=None)
    assert paths == [tmp_path / "figures" / f"{name}.png" for name in NAMES]
    assert sorted(paths) == sorted((tmp_path / "figures").iterdir())  # no draft is left
    for path in paths:
        assert path.stat().st_size < 200_000
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert 300 < image.width < 1400
            assert 150 < image.height < 1400
    shown = images_of(tmp_path)
    assert [(step, tag) for step, tag, _ in shown] == [(4, f"figures/{name}") for name in NAMES]
    assert all(image.startswith(b"\x89PNG") for _, _, image in shown)


def test_a_network_without_a_layer_of_its_own_for_pixels_has_no_kernels(
    tiny_config, optdigits, tmp_path
):
    config = asking(tiny_config, length=1)
    write_metrics(tmp_path)
    with_kernels = restored(config, optdigits.info)
    config = config.copy_and_resolve_references()
    config.model.convs = ()
    without = restored(config, optdigits.info)
    paths = draw_figures(without, optdigits, tmp_path, beside=None)
    assert [path.stem for path in paths] == [name for name in NAMES if name != "kernels"]
    for mine, beside in ((with_kernels, without), (without, with_kernels)):
        with pytest.raises(UserError, match="--beside: expected two runs with"):
            draw_figures(mine, optdigits, tmp_path, beside=beside)


def test_nothing_is_written_where_a_figure_cannot_be_drawn(tiny_config, optdigits, tmp_path):
    config = asking(tiny_config)
    mine = restored(config, optdigits.info)
    with pytest.raises(UserError, match=r"metrics\.jsonl cannot be read"):
        draw_figures(mine, optdigits, tmp_path, beside=None)
    write_metrics(tmp_path)
    other = config.copy_and_resolve_references()
    other.model.convs = ((4, 3, True),)
    with pytest.raises(UserError, match="kernels of that run are 3×3"):
        draw_figures(mine, optdigits, tmp_path, beside=restored(other, optdigits.info))
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_folder_that_cannot_be_written_is_a_clear_error(tiny_config, optdigits, tmp_path):
    network = restored(asking(tiny_config, length=1), optdigits.info)
    write_metrics(tmp_path)
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(UserError, match=r"no figures can be written to .* \(File exists\)"):
        draw_figures(network, optdigits, tmp_path, beside=None)
    assert (tmp_path / "figures").read_text() == "in the way"


def test_what_is_drawn_was_answered_as_in_the_test(tiny_config, optdigits, tmp_path, monkeypatch):
    """Errors are those of the evaluation's first sequences; confusions, of each image alone."""
    network = restored(asking(tiny_config), optdigits.info)
    write_metrics(tmp_path)
    drawn = {}
    monkeypatch.setattr(figures, "save", lambda found, *_: drawn.update(found))
    draw_figures(network, optdigits, tmp_path, beside=None)
    draw = Draw(network.config.eval.seed, 1, 4, len(optdigits.test.labels_I))
    evaluation = Evaluation(network.network, network.task, optdigits.test, draw, 75)
    answers = evaluation.answered(network.params)
    wrong = int(answers.wrong_B.sum())
    assert drawn["hardest"].texts[0].get_text().startswith(f"{wrong} of 75 test sequences are ")
    titles = [axes.get_title("left") for axes in drawn["sheet"].axes]
    assert titles == [network.task.account(answers, i).title for i in range(len(titles))]
    lanes = padded_lanes(np.ones(300, int))
    run = jax.jit(network.network.apply)
    alone = run(network.params, optdigits.test.images_IxHxWxC[None], lanes).answers().answer[0]
    right = np.mean(alone == optdigits.test.labels_I)
    title = drawn["confusion"].axes[0].get_title()
    assert title == f"Each of 300 test images read alone: {right:.2%} right"
