"""The one exception that stands for a mistake of the user, not of the program."""


class UserError(Exception):
    """Bad input: one line with the value, what was expected and what to type instead.

    `crnn_jax.main` prints it without a traceback and leaves with exit status 2.
    """
