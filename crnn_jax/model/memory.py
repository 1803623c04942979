"""What a network keeps where the frames of a sequence come one at a time.

Applied with `mutable=[STATE]`, a network returns what its loops over time end with beside its
output; given that with its parameters, it goes on from there. Otherwise nothing is kept.
"""

from typing import Any

import flax.linen as nn

STATE = "state"
"""The Flax collection of what is kept."""


def recall(module: nn.Module, nothing: Any) -> Any:
    """What a module's loop over time begins with: what was kept, or else `nothing`."""
    return module.get_variable(STATE, "carry", nothing)


def keep(module: nn.Module, carry: Any) -> None:
    """Keep what a module's loop over time ends with, where it is asked for."""
    if module.is_mutable_collection(STATE) and not module.is_initializing():
        module.put_variable(STATE, "carry", carry)
