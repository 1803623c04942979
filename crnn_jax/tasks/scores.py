"""How good answers are: of numbers after every frame, and of written ones."""

from typing import Any

import numpy as np

from crnn_jax.data.draw import Lanes
from crnn_jax.model.heads import Answers


def number_scores(
    target_CxTxN: np.ndarray,
    answers: Answers,
    lanes: Lanes,
    sequences: int,
    training_mean: float | None,
) -> dict[str, Any]:
    """Scores of numbers.

    Args:
      target_CxTxN: right numbers after every frame, in the lanes of each of C chunks.
      answers: the network's, CxTxN; estimates are needed where there is a training mean.
      lanes: of a chunk.
      sequences: sequences scored; the rest is padding.
      training_mean: the baseline's only answer; None where numbers cannot be nearly right.

    Returns:
      n; exact (share of the answers after the last frame that are right); where numbers can be
      nearly right, rmse and mae of the estimates and baseline_rmse (of always answering the
      training mean); per_length and per_step: n, exact and rmse of the sequences of each length,
      and after each number of frames.
    """
    shape = target_CxTxN.shape
    sequence_CxTxN = lanes.sequence_TxN + lanes.count * np.arange(shape[0])[:, None, None]
    drawn_CxTxN = sequence_CxTxN < sequences
    ends_CxTxN = drawn_CxTxN & np.broadcast_to(lanes.ends_TxN, shape)
    step_CxTxN = 1 + np.broadcast_to(lanes.frame_TxN, shape)
    right_CxTxN = answers.answer == target_CxTxN
    error_CxTxN = np.zeros(shape)
    if training_mean is not None:
        error_CxTxN = np.asarray(answers.estimate, np.float64) - target_CxTxN

    def scores(chosen_CxTxN: np.ndarray) -> dict[str, Any]:
        found = {"n": int(chosen_CxTxN.sum()), "exact": float(right_CxTxN[chosen_CxTxN].mean())}
        if training_mean is not None:
            found["rmse"] = _root_mean_square(error_CxTxN[chosen_CxTxN])
        return found

    def rows(name: str, among_CxTxN: np.ndarray) -> list[dict[str, Any]]:
        return [
            {name: int(step), **scores(among_CxTxN & (step_CxTxN == step))}
            for step in np.unique(step_CxTxN[among_CxTxN])
        ]

    whole = scores(ends_CxTxN)
    if training_mean is not None:
        whole["mae"] = float(np.abs(error_CxTxN[ends_CxTxN]).mean())
        whole["baseline_rmse"] = _root_mean_square(target_CxTxN[ends_CxTxN] - training_mean)
    return {
        **whole,
        "per_length": rows("length", ends_CxTxN),
        "per_step": rows("step", drawn_CxTxN),
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
