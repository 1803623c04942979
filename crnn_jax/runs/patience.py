"""Early stopping: how long a run has waited for a better validation score."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Self


@dataclasses.dataclass
class Patience:
    """Counts evaluations without a better score.

    Attributes:
      limit: evaluations to wait for one; 0 to wait forever.
      best: the lowest score so far.
      waited: evaluations since then.
    """

    limit: int
    best: float = math.inf
    waited: int = 0

    @classmethod
    def from_state(cls, limit: int, state: Mapping[str, Any] | None) -> Self:
        """With what `state()` returned; None is a new run's."""
        if state is None:
            return cls(limit)
        return cls(limit, math.inf if state["best"] is None else state["best"], state["waited"])

    def state(self) -> dict[str, Any]:
        """Best score and waiting so far, as JSON can hold them."""
        return {"best": self.best if math.isfinite(self.best) else None, "waited": self.waited}

    def take(self, score: float) -> None:
        """Take the score of an evaluation; lower is better, and NaN is never better."""
        if score < self.best:
            self.best, self.waited = score, 0
        else:
            self.waited += 1

    @property
    def is_over(self) -> bool:
        """Whether the run is to stop."""
        return 0 < self.limit <= self.waited
