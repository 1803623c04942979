import pytest
from crnn_jax.command_line import Parser

from crnn_jax import UserError, exit_status


def parser():
    made = Parser(prog="try", usage="%(prog)s", description="Tries.")
    made.add_argument("--seeds", type=int)
    return made


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


def test_flags_are_parsed():
    assert parser().parse_args(["--seeds=3"]).seeds == 3


@pytest.mark.parametrize(
    ("arguments", "words"), [(["--seed=3"], "--seed=3"), (["--seeds=x"], "invalid int value: 'x'")]
)
def test_what_is_no_flag_or_value_is_a_user_error(arguments, words):
    with pytest.raises(UserError, match=rf"{words}.* \(see --help\)$"):
        parser().parse_args(arguments)
