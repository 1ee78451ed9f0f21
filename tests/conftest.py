"""One Postgres cluster a process, one cloned database a test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.knowledge import KnowledgeBase
from tests.support.postgres import TEMPLATE, Cluster

LOCAL_STACK = "tests/local_stack/"


class ByFile(LoadScopeScheduling):
    """With `-n`: what a module's fixtures make is made once, and there is one local stack however many processes."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return LOCAL_STACK if file.startswith(LOCAL_STACK) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(scope="session")
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(autouse=True)
def _current_event_loop(event_loop: asyncio.AbstractEventLoop) -> None:
    """Mangum runs the API on the thread's event loop, makes one where there is none, and leaves it open.

    Set for every test: `asyncio.run` in one takes it away from those after it.
    """
    asyncio.set_event_loop(event_loop)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A server with a migrated template database."""
    found = Cluster()
    try:
        found.make_template()
        yield found
    finally:
        found.stop()


@pytest.fixture
def database_name(cluster: Cluster) -> Iterator[str]:
    """A migrated database of the test's own."""
    with cluster.database(TEMPLATE) as name:
        yield name


@pytest.fixture
def database_url(cluster: Cluster, database_name: str) -> str:
    """Its superuser's address; a `Database` puts its role in the user's place."""
    return cluster.url(database_name)


@pytest.fixture
def kb(database_url: str) -> Iterator[KnowledgeBase]:
    """The knowledge feature on a database of the test's own, with fakes around it."""
    found = KnowledgeBase(database_url)
    yield found
    found.close()
