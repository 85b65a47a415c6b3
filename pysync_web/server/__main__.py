"""The command line of the server: ``python -m pysync_web.server``."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, TypeVar

try:
    import rich_click as click
except ImportError:
    sys.exit("The server needs its extra: pip install 'pysync-web[server]'")

from ..core.wire import MAX_BODY_BYTES
from ..errors import SchemaError, SyncError
from ..transport.client import is_loopback
from .config import SHORTEST_TOKEN, Config, Limits

DEFAULT = Limits()
Command = TypeVar("Command", bound=Callable[..., Any])

YOUNG: Final = 20_000
"""So many new objects make the collector look; an exchange of a thousand documents makes some thousands."""

FOLDER: Final = click.Path(path_type=Path)


def option(flag: str, text: str, default: Any = None, **more: Any) -> Callable[[Command], Command]:
    """Add an option, which the environment may give too: ``--max-body`` is ``PYSYNC_MAX_BODY``."""
    variable = f"PYSYNC_{flag.strip('-').replace('-', '_').upper()}"
    has_default = default is not None
    return click.option(
        flag, envvar=variable, help=text, default=default, show_default=has_default, show_envvar=True, **more
    )


data_option = option("--data", "The folder for the databases, one file each.", Path("pysync-data"), type=FOLDER)
retention_option = option(
    "--tombstone-retention-days",
    "How long deletes are kept: a device that was away for longer pulls everything again.",
    90.0,
)


@click.group(
    invoke_without_command=True,
    help="Run a **pysync_web** server: it keeps the documents of its databases and syncs their replicas.",
    context_settings={"rich_help_config": {"text_markup": "markdown"}},
)
@option("--host", "The address to listen on.", "127.0.0.1")
@option("--port", "The port; 0 takes any free one.", 6745, type=click.IntRange(0, 65535))
@data_option
@option("--token", "What clients must present. Better in the environment.")
@option("--web", "A folder to serve as a web site at /.", type=FOLDER)
@option("--cors", "A web site whose pages may call, as https://app.example. Repeatable.", multiple=True)
@option(
    "--durability",
    "`strict` survives a power cut, `relaxed` a crash of the process.",
    "strict",
    type=click.Choice(["strict", "relaxed"]),
)
@option(
    "--max-body",
    "The bytes that a request's body may have.",
    DEFAULT.body_bytes,
    type=click.IntRange(1, MAX_BODY_BYTES),
)
@option(
    "--log-format",
    "How each exchange is logged: a line of `text`, or one of `json`.",
    "text",
    type=click.Choice(["text", "json"]),
)
@retention_option
@click.pass_context
def cli(
    context: click.Context,
    host: str,
    port: int,
    data: Path,
    token: str | None,
    web: Path | None,
    cors: tuple[str, ...],
    durability: Literal["strict", "relaxed"],
    max_body: int,
    log_format: Literal["text", "json"],
    tombstone_retention_days: float,
) -> None:
    """Check what was given, listen, and serve until a signal ends it."""
    if context.invoked_subcommand is not None:
        context.obj = _given(context)
        return
    _check_door(host, token)
    with _sentences():
        limits = Limits(body_bytes=max_body)
        config = Config(
            data,
            token or None,
            cors,
            web,
            durability,
            retention_days=tombstone_retention_days,
            limits=limits,
        )
    with _until_interrupted():
        serve(config, host, port, log_format)


@cli.command(help="Forget what is too old in each database and write its file anew; a server may run meanwhile.")
@data_option
@retention_option
@click.pass_context
def compact(context: click.Context, data: Path, tombstone_retention_days: float) -> None:
    """Compact all databases of a folder, and say what that gave back."""
    before = _given_before(context)
    data = before.get("data", data)
    with _sentences():
        config = Config(data, retention_days=before.get("tombstone_retention_days", tombstone_retention_days))
    try:
        os.listdir(data)
    except OSError as error:
        _refuse_folder(data, error)
    with _until_interrupted():
        is_well = asyncio.run(_compact(config))
    if not is_well:
        sys.exit(1)


async def _compact(config: Config) -> bool:
    """Compact one database after the other; say what is wrong with one, go on, and tell whether all went well."""
    from .databases import Databases
    from .upkeep import Upkeep

    databases = Databases(config.data, durability=config.durability)
    upkeep = Upkeep(databases, config.retention_days)
    is_well = True
    try:
        names = databases.names(is_for_all=True)
        if not names:
            print(f"There is no database in {config.data}.")
        for name in names:
            try:
                before, after = await upkeep.compact(name)
                print(f"{name}: {before} bytes before, {after} after", flush=True)
            except Exception as error:
                is_well = False
                print(f"{name}: {error if isinstance(error, SyncError) else repr(error)}", file=sys.stderr)
    finally:
        await databases.close()
    return is_well


def _given(context: click.Context) -> dict[str, Any]:
    """Give the options that stand on the command line itself, not those of the environment."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    return {name: context.params[name] for name in sorted(given)}


def _given_before(context: click.Context) -> dict[str, Any]:
    """Give the options that stand before a command and not after it too; refuse those that it doesn't take."""
    before: dict[str, Any] = context.obj
    others = [f"--{name.replace('_', '-')}" for name in before if name not in context.params]
    if others:
        raise click.BadParameter(f"{context.info_name} does not take {', '.join(others)}")
    after = _given(context)
    return {name: value for name, value in before.items() if name not in after}


@contextmanager
def _sentences() -> Iterator[None]:
    """Refuse what a configuration can't be as any bad option is refused."""
    try:
        yield
    except SchemaError as error:
        raise click.BadParameter(str(error)) from error


@contextmanager
def _until_interrupted() -> Iterator[None]:
    """Let Ctrl+C end the program without a word, with the exit code that shells give to that."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(130)


def _refuse_folder(data: Path, error: OSError) -> NoReturn:
    """Exit with a sentence that says why there can be no databases in a folder."""
    why = "it is a file" if data.is_file() else error.strerror or error
    sys.exit(f"{data} can't be the folder for the databases: {why}")


def serve(config: Config, host: str, port: int, log_format: Literal["text", "json"] = "text") -> None:
    """Listen and serve until a signal ends it; exit with a sentence if the address or the folder can't be had."""
    from .app import App
    from .logs import set_up
    from .serve import Server, listen, within_reach

    set_up(log_format)
    config = replace(config, limits=within_reach(config.limits))
    if config.data is not None:
        try:
            config.data.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=config.data).close()  # whether it can be written
        except OSError as error:
            _refuse_folder(config.data, error)
    try:
        listener = listen(host, port)
    except OSError as error:
        sys.exit(f"{host}:{port} can't be listened on: {error.strerror or error}")
    for line in _greeting(config, host, listener.getsockname()[1]):
        print(line, flush=True)
    server = Server(App(config))
    gc.freeze()  # what is there now stays: the collector need not go through it again and again
    gc.set_threshold(YOUNG, 10, 10)
    server.run(sockets=[listener])


def _check_door(host: str, token: str | None) -> None:
    """Refuse to open a door to other computers that has no lock, or a weak one."""
    if is_loopback(host):
        return
    if not token:
        sys.exit(f"Without a token the server listens on this computer alone, not on {host}: give it --token.")
    if len(token) < SHORTEST_TOKEN:
        sys.exit(
            f"A server on {host} can be reached by others: its token needs at least {SHORTEST_TOKEN} characters."
        )


def _greeting(config: Config, host: str, port: int) -> list[str]:
    """Say where the server is, what it keeps where, and who may come in."""
    name = f"[{host}]" if ":" in host else host
    who = "with its token" if config.token else "without a token: anything on this computer may read and write"
    lines = [f"pysync_web listens on http://{name}:{port}, {who}.", f"Databases: {config.data}"]
    if config.limits.connections < DEFAULT.connections:
        lines.append(f"It may open few files, so it takes {config.limits.connections} connections (see ulimit -n).")
    if config.web is not None:
        lines.append(f"Web site:  {config.web}")
    if config.origins:
        lines.append(f"Pages of:  {', '.join(config.origins)}")
    return lines


if __name__ == "__main__":
    cli()
