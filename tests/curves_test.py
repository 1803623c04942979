"""Curves: what a run's metrics say is drawn."""

import numpy as np
import pytest

from crnn_jax import UserError
from crnn_jax.figures import curves
from tests.files import write_metrics


def test_a_running_mean_takes_what_there_is_on_both_sides():
    values = np.array([1.0, 2.0, 6.0, 0.0])
    assert curves.running_mean(values, 0).tolist() == values.tolist()
    assert curves.running_mean(values, 1).tolist() == values.tolist()
    assert curves.running_mean(values, 2) == pytest.approx([1.5, 3, 8 / 3, 3])
    assert curves.running_mean(values, 9) == pytest.approx([2.25] * 4)


def test_reads_what_a_run_writes(tmp_path):
    lines = curves.read_metrics(write_metrics(tmp_path))
    assert lines[0] == {"step": 2, "loss": 3}
    assert lines[3] == {"step": 4, "validation_rmse": 4.5, "validation_exact": 0.5}


def test_a_last_line_that_is_cut_short_is_left_out(tmp_path):
    path = write_metrics(tmp_path)
    whole = curves.read_metrics(path)
    path.write_text(path.read_text() + '{"step": 6, "lo')
    assert curves.read_metrics(path) == whole


@pytest.mark.parametrize("line", ["oops", "[1]", "3", '{"loss": 1}', '{"step": 1, "loss": {}}'])
def test_a_damaged_line_is_named(line, tmp_path):
    path = write_metrics(tmp_path, f'{{"step": 1, "loss": 1}}\n{line}\n{{"step": 2}}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl line 2 is no JSON object"):
        curves.read_metrics(path)


def test_no_metrics_are_a_clear_error(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.jsonl cannot be read \(No such file"):
        curves.read_metrics(tmp_path / "metrics.jsonl")
    with pytest.raises(UserError, match="says no loss yet"):
        curves.read_metrics(write_metrics(tmp_path, ""))


def test_draws_what_was_measured(tmp_path):
    lines = curves.read_metrics(write_metrics(tmp_path))
    loss, rmse, exact = curves.draw_curves(lines).axes
    assert loss.get_yscale() == "log"
    raw, smooth = (line.get_xydata().tolist() for line in loss.get_lines())
    assert raw == smooth == [[2, 3], [4, 2]]
    assert rmse.get_lines()[0].get_xydata().tolist() == [[2, 5], [4, 4.5]]
    assert rmse.get_title() == "validation rmse: 4.5"
    assert exact.get_title() == "validation, share exact: 0.5"
    only_exact = [{k: v for k, v in x.items() if k != "validation_rmse"} for x in lines]
    assert [len(curves.draw_curves(x).axes) for x in (only_exact, lines[:1])] == [2, 1]
