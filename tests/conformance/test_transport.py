"""Every transport keeps the promises: to a hub in the process everywhere, over HTTP natively.

In a page whose own server has an API, ``fetch`` too; what passed is then a document of the database ``report``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pysync_web import CallbackTransport, HttpClient, LocalTransport
from pysync_web.core.hub import Hub
from pysync_web.errors import TransportError
from pysync_web.storage import open_storage
from tests.conformance.transport import CHECKS, ask, insert
from tests.unit.backend import Backend

if TYPE_CHECKING:
    from tests.unit.server_process import ServerProcess

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


@each_check
async def test_the_local_transport(check):
    storage = await open_storage(":memory:")
    hub = Hub(storage)
    await hub.open(random.SystemRandom())
    await check(lambda: LocalTransport(hub))
    await storage.close()


@each_check
async def test_the_callback_transport(check):
    if check.__name__ in HUB_POKES:
        pytest.skip("a backend pokes nobody, its application does")
    storage = await open_storage(":memory:")
    backend = Backend()
    await check(lambda: CallbackTransport(backend.push, backend.pull, storage=storage))
    await storage.close()


HUB_POKES = ("check_a_stream_pokes_at_once_and_after_a_commit", "check_a_slow_reader_gets_the_last_poke")


@pytest.mark.native
@each_check
async def test_the_http_transport(check, server: ServerProcess):
    await check(lambda: HttpClient(server.url, token=server.token))


@pytest.mark.browser
@each_check
async def test_the_fetch_transport(check):
    transport = HttpClient("/")
    try:
        await transport.ping()
    except TransportError:
        pytest.skip("this page's own server has no API")
    await check(lambda: HttpClient("/"))
    await ask(transport, "report", changes=[insert(check.__name__, passed=True)])
    await transport.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A real server in a process of its own."""
    from tests.unit.server_process import ServerProcess

    with ServerProcess(tmp_path_factory.mktemp("server")) as process:
        yield process
