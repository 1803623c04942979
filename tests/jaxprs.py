"""What a function computes, equation by equation."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend.core import jaxprs_in_params


def equations(function: Callable, *arguments: Any) -> Iterator[Any]:
    """All equations of a function, with those inside of loops and calls."""
    jaxprs = [jax.make_jaxpr(function)(*arguments).jaxpr]
    for jaxpr in jaxprs:
        for equation in jaxpr.eqns:
            yield equation
            jaxprs.extend(jaxprs_in_params(equation.params))


def products(function: Callable, *arguments: Any) -> list[Any]:
    """The matrix products of a function."""
    return [x for x in equations(function, *arguments) if x.primitive.name == "dot_general"]
