"""How good answers are: numbers after every frame, classes, other numbers, and written ones."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

from crnn_jax.data.lanes import Lanes
from crnn_jax.model.heads import Answers
from crnn_jax.tasks.task import Answered

ROUNDING = 3e-6
"""Relative difference up to which numbers in float32 are the same: twenty products of digits are
off by at most 1.2e-6, and two that differ are at least 7e-6 apart."""


class Score(NamedTuple):
    """How people are told a score.

    Attributes:
      title: in the table of results; "" where it stands there with others of its kind.
      line: its format in the line about a validation; "" where it is not in there.
      panel: title of its curve over the steps; "" where none is drawn.
    """

    title: str
    line: str = ""
    panel: str = ""


SCORES = {
    "rmse": Score("", ".3f", "validation rmse"),
    "mae": Score(""),
    "exact": Score("exact", ".4f", "validation, share exact"),
    "balanced": Score("exact, classes weighing the same", ".4f"),
    "per_symbol": Score("symbols right"),
    "cer": Score("character error rate", ".4f", "validation, character error rate"),
    "wer": Score("word error rate"),
    "tau": Score("Kendall's τ", ".3f", "validation, Kendall's τ"),
    "rho": Score("Spearman's ρ"),
}
"""The scores that a validation may have, in the order in which people are told them."""


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
    if target_MxTxN.dtype.kind == "f":
        right_MxTxN = np.isclose(answers.answer, target_MxTxN, rtol=ROUNDING, atol=0)
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


def line_scores(right: Sequence[str], read: Sequence[str]) -> dict[str, Any]:
    """Scores of texts of any lengths.

    Args:
      right: the right texts.
      read: those that were read.

    Returns:
      n; exact (share of the texts that are right); cer and wer, character and word error rate: how
      many symbols, or words, to add, take away or replace at least, as a share of the right ones.
    """

    def error_rate(right: Sequence[Sequence[str]], read: Sequence[Sequence[str]]) -> float:
        edits = sum(map(Levenshtein.distance, right, read))
        return edits / max(1, sum(map(len, right)))

    same = [a == b for a, b in zip(right, read, strict=True)]
    words, words_read = ([text.split() for text in texts] for texts in (right, read))
    return {
        "n": len(same),
        "exact": float(np.mean(same)),
        "cer": error_rate(right, read),
        "wer": error_rate(words, words_read),
    }


def class_scores(answered: Answered, classes: Sequence[str]) -> dict[str, Any]:
    """Scores of classes.

    Args:
      answered: Bx1 right and answered classes.
      classes: their names.

    Returns:
      n; exact (accuracy); balanced (the mean over the classes that there are of the share of each
      that is right); per_class: name, n and exact of each; confusion, KxK counts: right classes
      down, answered ones across.
    """
    right_B, answer_B = answered.targets[:, 0], answered.answers[:, 0]
    count = len(classes)
    confusion_KxK = np.bincount(right_B * count + answer_B, minlength=count**2).reshape(count, -1)
    of_class_K, hits_K = confusion_KxK.sum(axis=1), confusion_KxK.diagonal()
    there_K = of_class_K > 0
    share_K = hits_K[there_K] / of_class_K[there_K]
    names = (name for name, there in zip(classes, there_K, strict=True) if there)
    return {
        "n": len(right_B),
        "exact": float(np.mean(right_B == answer_B)),
        "balanced": float(share_K.mean()),
        "per_class": [
            {"class": name, "n": int(n), "exact": float(share)}
            for name, n, share in zip(names, of_class_K[there_K], share_K, strict=True)
        ],
        "confusion": confusion_KxK.tolist(),
    }


def value_scores(answered: Answered, training_mean: float) -> dict[str, Any]:
    """Scores of numbers of any kind: n, rmse, mae, and baseline_rmse of the training mean.

    Args:
      answered: BxL right numbers and estimates; NaN where there is none.
      training_mean: the baseline's only answer.
    """
    right, found = (np.asarray(x, np.float64) for x in (answered.targets, answered.estimates))
    return {
        "n": len(right),
        "rmse": float(np.sqrt(np.nanmean(np.square(found - right)))),
        "mae": float(np.nanmean(np.abs(found - right))),
        "baseline_rmse": float(np.sqrt(np.nanmean(np.square(right - training_mean)))),
    }


def frame_scores(answered: Answered, training_mean: float) -> dict[str, Any]:
    """Scores of numbers for every frame.

    Args:
      answered: see `value_scores`.
      training_mean: see there.

    Returns:
      The same over all frames; tau and rho, Kendall's and Spearman's rank correlation of each
      sequence's frames, averaged over the sequences whose right numbers are not all the same; and
      ranked, how many those are. NaN where there is none.
    """
    from scipy import stats  # takes half a second

    rows = [
        (right_L[:length], found_L[:length])
        for right_L, found_L, length in zip(
            answered.targets, answered.estimates, answered.lengths_B, strict=True
        )
        if np.ptp(right_L[:length]) > 0
    ]

    def mean(correlation: Callable[..., Any]) -> float:
        # An estimate that is always the same ranks nothing: 0, not undefined.
        found = [0.0 if np.ptp(row[1]) == 0 else correlation(*row).statistic for row in rows]
        return float(np.mean(found)) if rows else float("nan")

    return {
        **value_scores(answered, training_mean),
        "tau": mean(stats.kendalltau),
        "rho": mean(stats.spearmanr),
        "ranked": len(rows),
    }


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
