"""Functions with regular expressions; what a pattern may be is told in ``patterns``.

A pattern that is none matches nothing, as it does for ``=~``; only where texts would be replaced it is an error.
"""

from __future__ import annotations

from typing import Any

from ..patterns import Pattern, PatternError, compile_pattern, regex_test
from .arguments import a_text, wrong
from .registry import Context, FunctionError, function


@function("REGEX_TEST", "REGEX_MATCH", least=2, most=3, needs_context=True)
def test_regex(ctx: Context, text: Any, pattern: Any, ignore_case: Any = False) -> bool:
    """Tell whether a match is anywhere in a text; nothing matches what is no text."""
    expression = a_text(pattern, 2)
    ctx.spend(1)
    if type(text) is not str:
        return False
    if not _a_flag(ignore_case, 3):
        return regex_test(text, expression, ctx.spend)
    compiled = _compiled(expression, True)
    return compiled is not None and compiled.test(text, ctx.spend)


@function("REGEX_MATCHES", least=2, most=3, needs_context=True)
def all_matches(ctx: Context, text: Any, pattern: Any, ignore_case: Any = False) -> list[str]:
    """Give all matches in a text, one behind the other."""
    compiled = _compiled(a_text(pattern, 2), _a_flag(ignore_case, 3))
    if compiled is None or type(text) is not str:
        return []
    return compiled.matches(text, ctx.spend)


@function("REGEX_REPLACE", least=3, most=4, needs_context=True)
def replace_matches(
    ctx: Context, text: Any, pattern: Any, replacement: Any, ignore_case: Any = False
) -> str | None:
    """Replace all matches in a text; ``$1`` and ``${name}`` stand for groups. null stays null."""
    try:
        compiled = compile_pattern(a_text(pattern, 2), ignore_case=_a_flag(ignore_case, 4))
    except PatternError as error:
        raise FunctionError(f"the regular expression is wrong: {error}") from None
    if text is None:
        return None
    return compiled.replace(a_text(text), a_text(replacement, 3), ctx.spend)


def _compiled(pattern: str, ignore_case: bool) -> Pattern | None:
    try:
        return compile_pattern(pattern, ignore_case=ignore_case)
    except PatternError:
        return None


def _a_flag(value: Any, place: int) -> bool:
    if value is None or type(value) is bool:
        return bool(value)
    raise wrong(place, "a boolean", value)
