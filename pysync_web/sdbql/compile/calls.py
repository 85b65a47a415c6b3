"""Calls of functions and the lambdas that they get: which function it is and how many arguments it takes is known
before the query runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from .. import nodes as n
from ..functions import FUNCTIONS
from ..places import did_you_mean
from .metering import metered
from .module import Code
from .nesting import looked_at, steps_of_reduce
from .scope import Compiler, Scope, all_of

Compile = Callable[[Compiler, n.Expression, Scope], Code]

BY_NAME: Final = frozenset(
    ("COLLECTION_COUNT", "DOCUMENT", "FULLTEXT", "HYBRID_SEARCH", "SAMPLE", "VECTOR_INDEX_STATS")
)
"""Functions whose first argument is a collection: they get its name and not its documents."""

ONLY_OVER: Final = frozenset(
    ("ROW_NUMBER", "RANK", "DENSE_RANK", "NTILE", "LAG", "LEAD", "FIRST_VALUE", "LAST_VALUE")
)


def call(c: Compiler, node: n.Call, before: Sequence[Code], scope: Scope, compile_value: Compile) -> Code:
    """Compile a call; ``before`` is what a pipe puts before the arguments."""
    found = FUNCTIONS.get(node.name)
    if found is None:
        if node.name in ONLY_OVER:
            raise c.error(f"{node.name} needs OVER (...)", node.at)
        raise c.error(f"there is no function {node.name}.{did_you_mean(node.name, FUNCTIONS)}", node.at)
    arguments = [
        *before,
        *(_argument(c, node, one, place, scope, compile_value) for place, one in enumerate(node.arguments)),
    ]
    if len(arguments) < found.least or (found.most is not None and len(arguments) > found.most):
        raise c.error(f"{node.name} takes {counted(found.least, found.most)}, not {len(arguments)}", node.at)
    if node.name in BY_NAME and not (arguments and arguments[0].is_constant):
        c.reads_unknown = True
    if node.name in BY_NAME and arguments and arguments[0].is_constant:
        _note(c, arguments[0].constant, node.at)
    texts = [one.text for one in arguments]
    if any(one.kind == "lambda" for one in arguments):
        texts = [f"*run.counted({', '.join(texts)})"]
    if found.name == "REDUCE":
        texts.append(f"steps={steps_of_reduce(node)}")
    name = c.module.constant(metered(found.call) if c.is_metered else found.call, "f")
    body = ", ".join(["run", *texts] if found.needs_context else texts)
    depth = 2 + max((one.depth for one in arguments), default=0)
    is_pure = not found.needs_context and all(one.is_pure and one.kind != "lambda" for one in arguments)
    text = f"{c.module.mark(node.at, node.name)}{name}({body})"
    code = Code(text, depth, "", all_of(*arguments), is_pure=is_pure)
    return looked_at(c.module, code, node.at) if c.is_nesting else code


def _note(c: Compiler, given: Any, at: int) -> None:
    """Remember which collection a function reads, as far as its first argument tells."""
    if isinstance(given, str) and given:
        c.functions_read.add(given.partition("/")[0])
    else:
        c.reads_unknown = True


def _argument(
    c: Compiler, node: n.Call, one: n.Expression, place: int, scope: Scope, compile_value: Compile
) -> Code:
    if isinstance(one, n.Lambda):
        return lambda_code(c, one, scope, compile_value)
    is_collection = isinstance(one, n.Name) and one.name not in scope
    if place == 0 and node.name in BY_NAME and (is_collection or (isinstance(one, n.Bind) and one.is_collection)):
        return c.collection(one)  # type: ignore[arg-type]
    return compile_value(c, one, scope)


def counted(least: int, most: int | None) -> str:
    """Say how many arguments a function takes."""
    if most is None:
        return f"{least} or more arguments"
    if least == most:
        return "1 argument" if least == 1 else f"{least or 'no'} arguments"
    return f"{least} to {most} arguments"


def lambda_code(
    c: Compiler, node: n.Lambda, scope: Scope, compile_value: Compile, *, is_test: bool = False
) -> Code:
    """Compile a lambda; it may be called with fewer values than it has parameters, and with more."""
    names = [c.module.name("v") for _ in node.parameters]
    c.names.update(node.parameters)
    inner = {**scope, **{p: Code(v, 0, free=frozenset((v,))) for p, v in zip(node.parameters, names, strict=True)}}
    body = c.module.shallow(compile_value(c, node.body, inner))
    head = ", ".join([*(f"{name}=None" for name in names), "*_"])
    text = f"(lambda {head}: {body.truth if is_test else body.text})"
    return Code(text, body.depth + 2, "lambda", body.free - frozenset(names), is_pure=body.is_pure)
