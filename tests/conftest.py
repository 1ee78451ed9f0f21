"""One Postgres cluster a session, one cloned database a test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.knowledge import KnowledgeBase
from tests.support.postgres import TEMPLATE, Cluster


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
