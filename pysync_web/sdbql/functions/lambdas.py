"""Functions that call a lambda for the elements of an array, directly and in a pipeline.

The lambda is taken from whichever argument it is, so that ``REDUCE(array, start, f)`` and
``array |> REDUCE(f, start)`` both work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..limits import shallow
from . import strings
from .arguments import a_text, an_array, wrong
from .registry import FunctionError, function

Lambda = Callable[..., Any]


@function("FILTER", least=2, most=2)
def keep_if(*arguments: Any) -> list[Any]:
    """Give the elements for which a lambda gives something true."""
    array, test = _array_and_lambda(arguments)
    return [item for item in array if test(item)]


@function("MAP", least=2, most=2)
def each(*arguments: Any) -> list[Any]:
    """Give what a lambda gives for each element."""
    array, change = _array_and_lambda(arguments)
    return [change(item) for item in array]


@function("REDUCE", least=2, most=3)
def reduce(*arguments: Any, steps: int = 1) -> Any:
    """Put elements together from the left: a lambda gets what there is so far and the next element.

    Without a start value the first element is one, and an empty array gives null. After each so many ``steps`` the
    result is looked at, because it may be nested deeper by each of them.
    """
    step, others = _split(arguments)
    if step is None:
        raise wrong(len(arguments), "a lambda", arguments[-1])
    items = iter(an_array(others[0]))
    result = others[1] if len(others) > 1 else next(items, None)
    for count, item in enumerate(items, 1):
        result = step(result, item)
        if count % steps == 0:
            shallow(result)
    return shallow(result)


@function("ALL", "EVERY", least=1, most=2)
def every(*arguments: Any) -> bool:
    """Tell whether a lambda gives something true for all elements; without one, whether all are true."""
    array, test = _array_and_test(arguments)
    return all(test(item) for item in array)


@function("ANY", "SOME", least=1, most=2)
def some(*arguments: Any) -> bool:
    """Tell whether a lambda gives something true for any element; without one, whether any is true."""
    array, test = _array_and_test(arguments)
    return any(test(item) for item in array)


@function("NONE", least=1, most=2)
def none(*arguments: Any) -> bool:
    """Tell whether a lambda gives something true for no element; without one, whether none is true."""
    array, test = _array_and_test(arguments)
    return not any(test(item) for item in array)


@function("FIND", "FIND_FIRST", least=2, most=4)
def find(*arguments: Any) -> Any:
    """Give the first element for which a lambda gives something true, or null.

    With a text, give the place of another text in it, or -1; two more places bound the search.
    """
    if type(arguments[0]) is str:
        return strings.find_first(a_text(arguments[0]), *arguments[1:])
    array, test = _array_and_lambda(arguments)
    return next((item for item in array if test(item)), None)


@function("FIND_LAST", "RFIND", least=2, most=4)
def find_from_end(*arguments: Any) -> Any:
    """Give the last element for which a lambda gives something true, or the last place of a text in another."""
    if type(arguments[0]) is str:
        return strings.find_last(a_text(arguments[0]), *arguments[1:])
    array, test = _array_and_lambda(arguments)
    return next((item for item in reversed(array) if test(item)), None)


def _split(arguments: tuple[Any, ...]) -> tuple[Lambda | None, list[Any]]:
    """Give the lambda and the other arguments in their order."""
    lambdas = [argument for argument in arguments if callable(argument)]
    if len(lambdas) > 1:
        raise FunctionError("takes one lambda, not two")
    return lambdas[0] if lambdas else None, [argument for argument in arguments if not callable(argument)]


def _array_and_lambda(arguments: tuple[Any, ...]) -> tuple[list[Any], Lambda]:
    test, others = _split(arguments)
    if test is None:
        raise wrong(2, "a lambda", arguments[1])
    if len(others) > 1:
        raise FunctionError("takes an array and a lambda, and nothing else")
    return an_array(others[0] if others else None, 1 if not callable(arguments[0]) else 2), test


def _array_and_test(arguments: tuple[Any, ...]) -> tuple[list[Any], Lambda]:
    if len(arguments) == 1:
        return an_array(arguments[0]), bool
    return _array_and_lambda(arguments)
