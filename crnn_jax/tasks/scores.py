"""How good answers are: of numbers after every frame, and of written ones."""

from typing import Any

import numpy as np

from crnn_jax.data.lanes import Lanes
from crnn_jax.model.heads import Answers


def number_scores(
    target_MxTxN: np.ndarray,
    answers: Answers,
    lanes: Lanes,
    sequences: int,
    training_mean: float | None,
) -> dict[str, Any]:
    """Scores of numbers.

    Args:
      target_MxTxN: right numbers after every frame, in the lanes of each of M chunks.
      answers: the network's, MxTxN; estimates are needed where there is a training mean.
      lanes: of a chunk.
      sequences: sequences scored; the rest is padding.
      training_mean: the baseline's only answer; None where numbers cannot be nearly right.

    Returns:
      n; exact (share of the answers after the last frame that are right); where numbers can be
      nearly right, rmse and mae of the estimates and baseline_rmse (of always answering the
      training mean); per_length and per_step: n, exact and rmse of the sequences of each length,
      and after each number of frames.
    """
    shape = target_MxTxN.shape
    sequence_MxTxN = lanes.sequence_TxN + lanes.count * np.arange(shape[0])[:, None, None]
    drawn_MxTxN = sequence_MxTxN < sequences
    ends_MxTxN = drawn_MxTxN & np.broadcast_to(lanes.ends_TxN, shape)
    step_MxTxN = 1 + np.broadcast_to(lanes.frame_TxN, shape)
    right_MxTxN = answers.answer == target_MxTxN
    error_MxTxN = np.zeros(shape)
    if training_mean is not None:
        error_MxTxN = np.asarray(answers.estimate, np.float64) - target_MxTxN

    def scores(chosen_MxTxN: np.ndarray) -> dict[str, Any]:
        found = {"n": int(chosen_MxTxN.sum()), "exact": float(right_MxTxN[chosen_MxTxN].mean())}
        if training_mean is not None:
            found["rmse"] = _root_mean_square(error_MxTxN[chosen_MxTxN])
        return found

    def rows(name: str, among_MxTxN: np.ndarray) -> list[dict[str, Any]]:
        return [
            {name: int(step), **scores(among_MxTxN & (step_MxTxN == step))}
            for step in np.unique(step_MxTxN[among_MxTxN])
        ]

    whole = scores(ends_MxTxN)
    if training_mean is not None:
        whole["mae"] = float(np.abs(error_MxTxN[ends_MxTxN]).mean())
        whole["baseline_rmse"] = _root_mean_square(target_MxTxN[ends_MxTxN] - training_mean)
    return {
        **whole,
        "per_length": rows("length", ends_MxTxN),
        "per_step": rows("step", drawn_MxTxN),
    }


def text_scores(target_BxS: np.ndarray, answer_BxS: np.ndarray) -> dict[str, Any]:
    """Scores of written answers.

    Args:
      target_BxS: right symbols.
      answer_BxS: symbols written.

    Returns:
      n, exact (share of answers of which every symbol is right) and per_symbol (share of symbols
      that are right).
    """
    right_BxS = target_BxS == answer_BxS
    return {
        "n": len(right_BxS),
        "exact": float(right_BxS.all(axis=1).mean()),
        "per_symbol": float(right_BxS.mean()),
    }


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
