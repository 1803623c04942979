"""The variants of a config, as in `--config=FILE:smoke`."""

from collections.abc import Callable

from ml_collections import ConfigDict

from crnn_jax import UserError


def variant(
    config: ConfigDict, names: str | None, **changes: Callable[[ConfigDict], None]
) -> ConfigDict:
    """What `--config=FILE:NAMES` asks of a config file.

    Args:
      config: what FILE alone means.
      names: names of variants, with commas between them; None for no change. `smoke` is one of
        every config, and is applied last.
      changes: the config's own variants: what each changes.

    Raises:
      UserError: a name that is none of these.
    """
    chosen = names.split(",") if names is not None else []
    for name in sorted(chosen, key="smoke".__eq__):  # last, so that nothing grows again
        if name == "smoke":
            smoke(config)
        elif name in changes:
            changes[name](config)
        else:
            own = "".join(f"FILE:{own}, " for own in changes)
            raise UserError(
                f"--config=FILE:{name}: expected FILE, {own}or FILE:smoke for a run of seconds"
            )
    return config


def smoke(config: ConfigDict) -> None:
    """Shrinks a config to a run of seconds that goes through all the motions."""
    config.train.steps = 4
    config.train.steps_per_dispatch = 2
    config.eval.every = 2
    config.eval.validation_sequences = 80
    config.eval.test_sequences = 800
    config.eval.lengths = tuple(length for length in config.eval.lengths if length <= 10)
    config.checkpoint.every = 2
