"""How a command ends."""

import pytest

from crnn_jax import UserError, exit_status


def test_a_command_that_ends_well_returns_0(capsys):
    seen = []
    assert exit_status(seen.extend, ["a", "b"]) == 0
    assert seen == ["a", "b"]
    assert capsys.readouterr() == ("", "")


def test_a_mistake_of_the_user_is_one_line_and_2(capsys):
    def refuse(argv):
        raise UserError(f"{argv[0]}:\nexpected b")

    assert exit_status(refuse, ["a"]) == 2
    assert capsys.readouterr() == ("", "error: a: expected b\n")


def test_a_mistake_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        exit_status(lambda argv: 1 / len(argv), [])
