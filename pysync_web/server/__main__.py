"""The command line of the server: ``python -m pysync_web.server``."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn

try:
    import typer
except ImportError:
    sys.exit("The server needs its extra: pip install 'pysync-web[server]'")

from ..core.wire import MAX_BODY_BYTES
from ..errors import SchemaError, SyncError
from ..transport.client import is_loopback
from .config import SHORTEST_TOKEN, Config, Limits

DEFAULT = Limits()

YOUNG: Final = 20_000
"""So many new objects make the collector look; an exchange of a thousand documents makes some thousands."""

cli = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)

Host = Annotated[str, typer.Option(envvar="PYSYNC_HOST", help="The address to listen on.")]
Port = Annotated[int, typer.Option(envvar="PYSYNC_PORT", min=0, max=65535, help="The port; 0 takes any free one.")]
Data = Annotated[Path, typer.Option(envvar="PYSYNC_DATA", help="The folder for the databases, one file each.")]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="PYSYNC_TOKEN", show_envvar=True, help="What clients must present. Better in the environment."
    ),
]
Web = Annotated[Path | None, typer.Option(envvar="PYSYNC_WEB", help="A folder to serve as a web site at /.")]
Cors = Annotated[
    list[str] | None,
    typer.Option(envvar="PYSYNC_CORS", help="A web site whose pages may call, as https://app.example. Repeatable."),
]
Durable = Annotated[
    Literal["strict", "relaxed"],
    typer.Option(
        envvar="PYSYNC_DURABILITY", help="`strict` survives a power cut, `relaxed` a crash of the process."
    ),
]
MaxBody = Annotated[
    int,
    typer.Option(
        envvar="PYSYNC_MAX_BODY", min=1, max=MAX_BODY_BYTES, help="The bytes that a request's body may have."
    ),
]
LogFormat = Annotated[
    Literal["text", "json"],
    typer.Option(
        envvar="PYSYNC_LOG_FORMAT", help="How each exchange is logged: a line of `text`, or one of `json`."
    ),
]
Retention = Annotated[
    float,
    typer.Option(
        envvar="PYSYNC_TOMBSTONE_RETENTION_DAYS",
        help="How long deletes are kept: a device that was away for longer pulls everything again.",
    ),
]


@cli.callback(
    invoke_without_command=True,
    help="Run a **pysync_web** server: it keeps the documents of its databases and syncs their replicas.",
)
def main(
    context: typer.Context,
    host: Host = "127.0.0.1",
    port: Port = 6745,
    data: Data = Path("pysync-data"),
    token: Token = None,
    web: Web = None,
    cors: Cors = None,
    durability: Durable = "strict",
    max_body: MaxBody = DEFAULT.body_bytes,
    log_format: LogFormat = "text",
    tombstone_retention_days: Retention = 90.0,
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
            tuple(cors or ()),
            web,
            durability,
            retention_days=tombstone_retention_days,
            limits=limits,
        )
    serve(config, host, port, log_format)


@cli.command(help="Forget what is too old in each database and write its file anew; a server may run meanwhile.")
def compact(
    context: typer.Context, data: Data = Path("pysync-data"), tombstone_retention_days: Retention = 90.0
) -> None:
    """Compact all databases of a folder, and say what that gave back."""
    before = _given_before(context)
    data = before.get("data", data)
    with _sentences():
        config = Config(data, retention_days=before.get("tombstone_retention_days", tombstone_retention_days))
    try:
        os.listdir(data)
    except OSError as error:
        _refuse_folder(data, error)
    if not asyncio.run(_compact(config)):
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


def _given(context: typer.Context) -> dict[str, Any]:
    """Give the options that stand on the command line itself, not those of the environment."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    return {name: context.params[name] for name in sorted(given)}


def _given_before(context: typer.Context) -> dict[str, Any]:
    """Give the options that stand before a command and not after it too; refuse those that it doesn't take."""
    before: dict[str, Any] = context.obj
    others = [f"--{name.replace('_', '-')}" for name in before if name not in context.params]
    if others:
        raise typer.BadParameter(f"{context.info_name} does not take {', '.join(others)}")
    after = _given(context)
    return {name: value for name, value in before.items() if name not in after}


@contextmanager
def _sentences() -> Iterator[None]:
    """Refuse what a configuration can't be as any bad option is refused."""
    try:
        yield
    except SchemaError as error:
        raise typer.BadParameter(str(error)) from error


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
