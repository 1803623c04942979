"""The published figures that docs/records.md compares with, and how ours are scored."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Results = dict[str, Any]
"""What a run's results.json holds."""

Runs = Mapping[str, Sequence[Results]]
"""The results of all seeds of each config."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
      what: it is of, in words.
      published: the best one published, in words.
      config: of our runs, as in "mnist_add:n1".
      here: ours, in words, from the runs of all configs.
    """

    what: str
    published: str
    config: str
    here: Callable[[Runs], str]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Figures that are measured alike.

    Attributes:
      title: of the section.
      about: the protocol, and where the published figures stand.
      differs: what we do otherwise.
      rows: the figures.
      seeds: that it asks for.
      more: configs that are trained to score others.
    """

    title: str
    about: str
    differs: str
    rows: tuple[Row, ...]
    seeds: int = 3
    more: tuple[str, ...] = ()

    @property
    def configs(self) -> tuple[str, ...]:
        """All configs to train."""
        return tuple(dict.fromkeys((*(row.config for row in self.rows), *self.more)))


def spread(values: Sequence[float], digits: int) -> str:
    """Mean ± standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def scored(config: str, score: Callable[[Results], float], digits: int) -> Callable[[Runs], str]:
    """What says a score of a config's runs."""
    return lambda runs: spread([score(results) for results in runs[config]], digits)


def percent(config: str) -> Callable[[Runs], str]:
    """What says how many whole answers are right."""
    return scored(config, lambda results: 100 * results["exact"], 2)


def of_length(results: Results, length: int) -> Results:
    """The scores of sequences of a length that is tested besides."""
    return next(row for row in results["lengths"] if row["length"] == length)


def square_error(results: Results, length: int) -> float:
    """Mean squared error over all running answers of sequences of a length."""
    return of_length(results, length)["rmse_every_step"] ** 2


def bound(references: Sequence[Results], length: int) -> float:
    """Mean squared error below which a run succeeds.

    The upper end of a one-sided 99 % confidence interval of the mean of the reference's errors,
    by Student's t (stable-nalu, export/sequential_mnist_sum_long.r).
    """
    errors = [square_error(results, length) for results in references]
    return statistics.mean(errors) + margin(errors, 0.99)


def margin(values: Sequence[float], share: float) -> float:
    """From a mean to the end of its interval, below which the true mean is with this probability.

    By Student's t; of two values or more.
    """
    from scipy import stats  # takes half a second

    quantile = float(stats.t.ppf(share, len(values) - 1))
    return quantile * statistics.stdev(values) / math.sqrt(len(values))


def succeeded(config: str, length: int) -> Callable[[Runs], str]:
    """What says how many runs of a config have errors below the bound of its reference."""

    def here(runs: Runs) -> str:
        errors = [square_error(results, length) for results in runs[config]]
        told = f"median error {statistics.median(errors):.3g}"
        references = runs[f"{config}:reference"]
        if len(references) < 2:
            return f"{told}; no bound without two references"
        most = bound(references, length)
        share = f"{sum(error < most for error in errors)} of {len(errors)}"
        return f"{share} ({told}, bound {most:.3g}, of {len(references)} references)"

    return here


def lengths(
    config: str, published: Mapping[int, str], here: Callable[[str, int], Callable[[Runs], str]]
) -> Iterator[Row]:
    """A row for each length of sequences."""
    for length, figure in published.items():
        yield Row(f"{length:,} image{'s' * (length > 1)}", figure, config, here(config, length))


def exact_of(config: str, length: int) -> Callable[[Runs], str]:
    """What says the share of exact sums of a length."""
    return scored(config, lambda results: of_length(results, length)["exact"], 4)


def interval(config: str) -> Callable[[Runs], str]:
    """What says the mean of the exact answers, its 95 % interval by Student's t, and the range."""

    def here(runs: Runs) -> str:
        exact = [results["exact"] for results in runs[config]]
        mean = statistics.mean(exact)
        if len(exact) < 2:
            return f"{mean:.4f}"
        within = margin(exact, 0.975)
        return f"{mean:.4f} ± {within:.4f} ({min(exact):.4f} to {max(exact):.4f})"

    return here


DEEP_SETS = {5: ".99", 10: ".96", 15: ".95", 20: ".93", 30: ".88", 50: ".78", 100: "–"}
NAU = {1: ".7", 10: ".8", 100: ".7", 1000: ".8"}
DEPTH = {
    "sigmoid1": ".8825",
    "sigmoid2": ".7920",
    "sigmoid3": ".3595",
    "relu1": ".9297",
    "relu2": ".9402",
    "relu3": ".9471",
}
NMU = {2: "1", 4: "1", 5: "1", 8: "1", 10: ".9", 12: ".7", 16: "1", 20: ".8"}

ENCODER = (
    "Our encoder has three convolutions and a dense layer, as in `sum8`, and training images are "
    "shifted, turned, scaled and bent at random"
)

PROTOCOLS = (
    Protocol(
        "Sums of digits",
        "mnistCRNN (jamesmf on GitHub, 2016): sums of 1 to 8 digits, RMSE of the raw prediction, "
        "its best a MobileNet at 128×128. Ben Caine, “Neural Image Addition” (2016): sums of 1 to "
        "4 digits, mean squared error. Of running sums of 1 to 10 digits nothing is published.",
        f"{ENCODER}. The posterior of the sum is trained by its likelihood, not by squared error.",
        (
            Row("8 digits, RMSE", ".65", "sum8:best", scored("sum8:best", lambda r: r["rmse"], 3)),
            Row("8 digits, exact %", "–", "sum8:best", percent("sum8:best")),
            Row(
                "4 digits, squared error",
                ".61",
                "sum4:best",
                scored("sum4:best", lambda r: r["rmse"] ** 2, 3),
            ),
            Row(
                "running sums, RMSE after the tenth digit",
                "–",
                "cumsum10:best",
                scored("cumsum10:best", lambda r: r["per_step"][9]["rmse"], 3),
            ),
        ),
    ),
    Protocol(
        "The calculator",
        "Two numbers of three digits and their sum in four, padded with zeros: .826 of the symbols "
        "right on 10,000 pairs, in two stages that need the labels of all digits. Of numbers of 1 "
        "to 5 digits with a blank frame between them, nothing is published.",
        f"{ENCODER}. Learned from sums alone.",
        (
            Row(
                "3 + 3 digits, symbols",
                ".826",
                "addition3:best",
                scored("addition3:best", lambda r: r["per_symbol"], 4),
            ),
            Row("3 + 3 digits, exact %", "–", "addition3:best", percent("addition3:best")),
            Row("1 to 5 digits each, exact %", "–", "addition", percent("addition")),
        ),
    ),
    Protocol(
        "Deep Sets: sums of more digits than trained",
        "Zaheer et al., “Deep Sets” (2017): sums of at most 10 digits are trained, longer ones "
        "tested; the share that is exact after rounding. An LSTM has .82 at 10 and 0 from 15 on.",
        "MNIST in place of MNIST8m, which has more than a hundred times as many training images. "
        f"{ENCODER}.",
        tuple(lengths("deep_sets", DEEP_SETS, exact_of)),
    ),
    Protocol(
        "NAU: running sums",
        "Madsen and Johansen, “Neural Arithmetic Units” (ICLR 2020): running sums of 10 digits are "
        "trained, and the squared error of all running sums tested; the share of 10 seeds whose "
        "error is below the upper end of a 99 % confidence interval of the error of a reference, "
        "whose sums are exact. 55,000 images to train on, 5,000 for validation.",
        "The posterior of the sum is trained by its likelihood, not a number by its squared error. "
        "The bound is that of our own reference, which is trained as long as ours, on the same "
        "small encoder (two convolutions and a dense layer): for seconds, and not for 1,000 "
        "epochs. So the bound is a loose one, and success says less than theirs; compare the "
        "errors. At 1,000 images 100 sequences are tested, with replacement.",
        tuple(lengths("nau", NAU, succeeded)),
        seeds=10,
        more=("nau:reference",),
    ),
    Protocol(
        "NMU: running products",
        "The same of products of the digits 1 to 9, of which two are trained.",
        "As above. A product of more than nine digits is scored by the posterior's mean, which is "
        "the product of the means of its digits.",
        tuple(lengths("nmu", NMU, succeeded)),
        seeds=10,
        more=("nmu:reference",),
    ),
    Protocol(
        "MNIST-Add: each image in one pair",
        "The sum of two numbers of N digits, from sums alone; each training image is in one pair "
        "only. Exact answers in %. N = 1: ABL; N = 2: DeepStochLog (Winters et al., 2022); N = 4 "
        "and 15: DPrL (2026, second-hand), before it DeepSoftLog with 93.5 and PLIA with 79.0. "
        "Training at N = 1 took ABL 47 s on an A100, and DeepStochLog 257 s.",
        f"{ENCODER}. 5,000 of the 60,000 training images are kept for validation, so there are "
        "55,000 / 2N pairs, not 60,000 / 2N. 20,000 pairs of test images are drawn with "
        "replacement, instead of 10,000 / 2N without.",
        tuple(
            Row(f"N = {n}, exact %", figure, f"mnist_add:n{n}", percent(f"mnist_add:n{n}"))
            for n, figure in {1: "98.1", 2: "96.4", 4: "94.0", 15: "80.8"}.items()
        ),
    ),
    Protocol(
        "The depth study",
        "A multilayer perceptron with 1 to 3 hidden layers of 512 units, plain gradient descent at "
        ".01, batches of 128, dropout .2, 10 epochs: accuracy on MNIST's test images. Here: the "
        "mean of ten seeds ± half the width of its 95 % confidence interval, and the range.",
        "5,000 of the training images are kept for validation; the 10 epochs are counted over "
        "60,000: 4,680 steps. Three sigmoid layers are unstable: at the end some seeds have just "
        "left the plateau on which all start, and others have not; which is chance.",
        tuple(
            Row(
                f"{cell[-1]} hidden layer{'s' * (cell[-1] > '1')}, {cell[:-1]}",
                published,
                f"depth:{cell}",
                interval(f"depth:{cell}"),
            )
            for cell, published in DEPTH.items()
        ),
        seeds=10,
    ),
)
