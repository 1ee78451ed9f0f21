"""The database service: flights, recovery, tenant scope, schema version."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from spandrel import migrations
from spandrel.database import SCHEMA_VERSION, Database
from spandrel.errors import DatabaseUnavailableError, NotFoundError, SchemaVersionError
from spandrel.knowledge.collections import Collections
from spandrel.knowledge.documents import Documents
from spandrel.knowledge.ingest.ingest import Ingest
from spandrel.knowledge.search.models import SearchRequest
from spandrel.knowledge.search.search import Search
from spandrel.knowledge.store import NewCollection, NewFile
from spandrel.usage.prices import PriceTable
from spandrel.vectors import HalfVector, IntArray, SparseVector
from tests.support.flights import FlightCounter
from tests.support.knowledge import ADA, KnowledgeBase
from tests.support.postgres import Cluster, settings_for

SCOPE = b"SELECT current_user_id() AS user_id"
PID = b"SELECT pg_backend_pid() AS pid"
Connect = Callable[..., Database]


@pytest.fixture
def connect(database_url: str) -> Iterator[Connect]:
    """Makes `Database` objects and closes them."""
    made: list[Database] = []

    def make(role: str = "spandrel_app", **settings: Any) -> Database:
        made.append(Database(settings_for(settings.pop("url", database_url), **settings), role))
        return made[-1]

    yield make
    for database in made:
        database.close()


# -- flights


@pytest.fixture
def counter(cluster: Cluster) -> Iterator[FlightCounter]:
    with FlightCounter(cluster.socket_directory) as found:
        yield found


@pytest.fixture
def through(
    counter: FlightCounter, cluster: Cluster, database_name: str, connect: Connect
) -> Callable[[str], Database]:
    """A warm `Database` whose flights are counted."""

    def make(role: str = "spandrel_app") -> Database:
        database = connect(role, url=cluster.url(database_name, host=counter.directory))
        database.run(b"SELECT 1")
        return database

    return make


def flights(counter: FlightCounter, work: Callable[[], object]) -> int:
    before = counter.flights
    work()
    return counter.flights - before


def test_one_statement_in_a_scope_takes_one_flight(counter: FlightCounter, through: Callable[..., Database]) -> None:
    database = through()
    assert flights(counter, lambda: database.run(SCOPE, user_id=ADA)) == 1


def test_one_statement_without_a_scope_goes_alone_and_its_fault_spoils_nothing(
    counter: FlightCounter, through: Callable[..., Database]
) -> None:
    database = through()
    assert flights(counter, lambda: database.run(b"SELECT 2 AS two")) == 1
    with pytest.raises(psycopg.errors.DivisionByZero):
        database.run(b"SELECT 1 / 0")
    assert database.run(b"SELECT 2 AS two") == [{"two": 2}]


def test_several_statements_read_afterwards_take_one_flight(
    counter: FlightCounter, through: Callable[..., Database]
) -> None:
    database = through()

    def work() -> None:
        with database.transaction(ADA) as tx:
            results = [tx.execute(SCOPE), tx.execute(b"SELECT 2 AS two")]
        assert [result.fetchone() for result in results] == [{"user_id": ADA}, {"two": 2}]

    assert flights(counter, work) == 1


def test_a_result_read_in_between_costs_a_flight_more(counter: FlightCounter, through: Callable[..., Database]) -> None:
    database = through()

    def work() -> None:
        with database.transaction(ADA) as tx:
            tx.execute(SCOPE).fetchone()
            tx.execute(SCOPE)

    assert flights(counter, work) == 2


def test_the_schema_check_travels_with_the_first_request(
    counter: FlightCounter, cluster: Cluster, database_name: str, connect: Connect
) -> None:
    database = connect(url=cluster.url(database_name, host=counter.directory))
    # The start-up message, which needs no password here, and the request.
    assert flights(counter, lambda: database.run(SCOPE, user_id=ADA)) == 2


@pytest.mark.parametrize("mode", ["hybrid", "vector", "text"])
def test_a_search_takes_one_flight(
    kb: KnowledgeBase, counter: FlightCounter, through: Callable[..., Database], mode: Any
) -> None:
    kb.add(kb.collection(), "Whales sing.")
    search = Search(through(), lambda: kb.embedder, PriceTable.load)
    request = SearchRequest(query="whales", mode=mode, filter={"year": {"ne": 1}})
    answers = []
    assert flights(counter, lambda: answers.append(search.run(ADA, request))) == 1
    assert len(answers[0].hits) == 1


def test_flights_of_the_collection_requests(
    kb: KnowledgeBase, counter: FlightCounter, through: Callable[..., Database]
) -> None:
    collections = Collections(through(), kb.queue)
    # A row that a decision hangs on is read before the commit is sent: two.
    assert flights(counter, lambda: collections.create(ADA, NewCollection("one"))) <= 2
    assert flights(counter, lambda: collections.page(ADA, 10, None)) == 1


def test_flights_of_announcing_a_document(
    kb: KnowledgeBase, counter: FlightCounter, through: Callable[..., Database]
) -> None:
    collection = kb.collection()
    documents = Documents(through(), kb.objects, kb.queue)
    assert flights(counter, lambda: documents.create(ADA, collection.id, [NewFile("a.md", None, {})])) <= 3


def test_flights_of_ingesting_a_small_document(
    kb: KnowledgeBase, counter: FlightCounter, through: Callable[..., Database]
) -> None:
    ingest = Ingest(through("spandrel_system"), kb.objects, kb.embedder, kb.queue)
    document = kb.announce(kb.collection())
    kb.ingest = ingest
    # Claim and two stages: one each. Publish: lock, out of the pipeline, three COPYs of two, and the rest with the
    # commit.
    assert flights(counter, lambda: kb.upload(document, "Whales sing.")) == 12
    assert kb.document(document).status == "ready"


# -- recovery


def test_the_connection_is_kept_between_requests(connect: Connect) -> None:
    database = connect()
    assert database.run(PID) == database.run(PID)


def test_a_connection_cut_while_idle_is_replaced(connect: Connect, kb: KnowledgeBase) -> None:
    database = connect()
    [before] = database.run(PID)
    kb.rows("SELECT pg_terminate_backend(%s, 5000)", before["pid"])
    [after] = database.run(PID)
    assert after != before


def test_a_connection_cut_at_work_is_reported_and_then_replaced(connect: Connect) -> None:
    database = connect()
    with pytest.raises(DatabaseUnavailableError):
        database.run(b"SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(5)")
    assert database.run(b"SELECT 1 AS one") == [{"one": 1}]


def test_a_connection_cut_between_two_statements_is_reported_and_then_replaced(
    connect: Connect, kb: KnowledgeBase
) -> None:
    database = connect()

    def work() -> None:
        with database.transaction(ADA) as tx:
            row = tx.execute(PID).fetchone()
            assert row is not None
            kb.rows("SELECT pg_terminate_backend(%s, 5000)", row["pid"])
            tx.execute(SCOPE).fetchone()

    with pytest.raises(DatabaseUnavailableError):
        work()
    assert database.run(SCOPE, user_id=ADA) == [{"user_id": ADA}]


def test_a_restarted_server_is_found_again() -> None:
    cluster = Cluster()
    try:
        migrations.migrate(cluster.url("postgres"))
        database = Database(settings_for(cluster.url("postgres")), "spandrel_app")
        [before] = database.run(PID)
        cluster.restart()
        [after] = database.run(PID)
        assert after != before
        database.close()
    finally:
        cluster.stop()


def test_an_unreachable_server_is_reported(tmp_path: Any) -> None:
    database = Database(settings_for(f"postgresql:///none?host={tmp_path}"), "spandrel_app")
    with pytest.raises(DatabaseUnavailableError):
        database.run(b"SELECT 1")


def test_an_error_of_the_statement_is_passed_on_and_rolled_back(connect: Connect, kb: KnowledgeBase) -> None:
    database = connect()

    def work() -> None:
        with database.transaction(ADA) as tx:
            tx.execute(b"INSERT INTO collections (user_id, name) VALUES ('ada', 'half')")
            tx.execute(b"SELECT 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        work()
    assert kb.rows("SELECT * FROM collections") == []
    assert database.run(b"SELECT 1 AS one") == [{"one": 1}]


def test_an_error_of_the_use_case_rolls_back(connect: Connect, kb: KnowledgeBase) -> None:
    database = connect()

    def work() -> None:
        with database.transaction(ADA) as tx:
            tx.execute(b"INSERT INTO collections (user_id, name) VALUES ('ada', 'half')")
            raise NotFoundError

    with pytest.raises(NotFoundError):
        work()
    assert kb.rows("SELECT * FROM collections") == []
    assert database.run(b"SELECT 1 AS one") == [{"one": 1}]


# -- scope


def test_the_scope_ends_with_its_transaction(connect: Connect) -> None:
    database = connect()
    assert database.run(SCOPE, user_id=ADA) == [{"user_id": ADA}]
    assert database.run(SCOPE) == [{"user_id": None}]


def test_the_scope_ends_with_a_failed_transaction_too(connect: Connect) -> None:
    database = connect()
    with pytest.raises(psycopg.errors.DivisionByZero):
        database.run(b"SELECT 1 / 0", user_id=ADA)
    assert database.run(SCOPE) == [{"user_id": None}]


def test_the_scope_ends_with_an_abandoned_transaction_too(connect: Connect) -> None:
    database = connect()

    def work() -> None:
        with database.transaction(ADA) as tx:
            tx.execute(SCOPE)
            raise NotFoundError

    with pytest.raises(NotFoundError):
        work()
    assert database.run(SCOPE) == [{"user_id": None}]


# -- schema version


@pytest.fixture
def set_version(kb: KnowledgeBase) -> Callable[[int, int], None]:
    def change(version: int, compatible_from: int) -> None:
        kb.rows("UPDATE schema_version SET version = %s, compatible_from = %s", version, compatible_from)

    return change


@pytest.mark.parametrize(("version", "compatible_from"), [(SCHEMA_VERSION - 1, 1), (99, SCHEMA_VERSION + 1)])
def test_a_foreign_schema_is_refused_until_it_is_ours(
    connect: Connect, set_version: Callable[[int, int], None], version: int, compatible_from: int
) -> None:
    database = connect()
    set_version(version, compatible_from)
    for _ in range(2):
        with pytest.raises(SchemaVersionError):
            database.run(b"SELECT 1")
    set_version(SCHEMA_VERSION, 1)
    assert database.run(b"SELECT 1 AS one") == [{"one": 1}]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="page faults are counted as Linux does")
def test_a_connection_keeps_the_memory_that_its_queries_free(connect: Connect) -> None:
    database, large = connect(), b"SELECT string_agg(repeat('x', 4000), '') || 'y' AS text FROM generate_series(1, 25)"
    [row] = database.run(b"SELECT pg_backend_pid() AS pid", user_id=ADA)

    def faults() -> int:
        return int(Path(f"/proc/{row['pid']}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[7])

    for count in (10, 50):
        before = faults()
        for _ in range(count):
            database.run(large)
    assert faults() - before < count  # 25 and more a query were given back


def test_a_newer_schema_that_still_serves_our_code_is_accepted(
    connect: Connect, set_version: Callable[[int, int], None]
) -> None:
    set_version(SCHEMA_VERSION + 1, SCHEMA_VERSION)
    assert connect().run(b"SELECT 1 AS one") == [{"one": 1}]


def test_a_database_that_was_never_migrated_is_refused(cluster: Cluster, connect: Connect) -> None:
    with cluster.database() as name:
        database = connect("postgres", url=cluster.url(name))
        with pytest.raises(SchemaVersionError):
            database.run(b"SELECT 1")
        database.close()


def test_a_foreign_schema_is_noticed_after_a_request_that_failed_before_its_first_flight(
    connect: Connect, set_version: Callable[[int, int], None]
) -> None:
    database = connect()
    set_version(99, 99)

    def work() -> None:
        with database.transaction(ADA):
            raise NotFoundError

    # The server reports a fault at once, before the flight's end: the schema's may be seen before the request's own.
    with pytest.raises((NotFoundError, SchemaVersionError)):
        work()
    with pytest.raises(SchemaVersionError):
        database.run(b"SELECT 1")


def test_a_statement_that_was_to_be_prepared_behind_a_fault_is_usable_afterwards(connect: Connect) -> None:
    """The server skips what follows a fault in a pipeline, preparations among it."""
    database, query = connect(), b"SELECT 7 AS n"

    def fail() -> None:
        with database.transaction() as tx:
            tx.execute(b"SELECT 1 / 0")
            tx.execute(query)

    with pytest.raises(psycopg.errors.DivisionByZero):
        fail()  # with nothing prepared, so that psycopg knows the ROLLBACK
    for _ in range(5):
        assert database.run(query) == [{"n": 7}]
    with pytest.raises(psycopg.errors.DivisionByZero):
        fail()
    assert database.run(query) == [{"n": 7}]


# -- what travels


def test_behind_a_proxy_nothing_is_prepared(connect: Connect) -> None:
    database = connect(proxy=True)
    for _ in range(8):
        database.run(SCOPE, user_id=ADA)
    assert database.run(b"SELECT count(*) AS n FROM pg_prepared_statements") == [{"n": 0}]


def test_without_a_proxy_what_repeats_is_prepared(connect: Connect) -> None:
    database = connect()
    for _ in range(8):
        database.run(SCOPE, user_id=ADA)
    assert database.run(b"SELECT count(*) > 0 AS any FROM pg_prepared_statements") == [{"any": True}]


def test_half_vectors_arrive_as_pgvector_reads_them(connect: Connect) -> None:
    database, values = connect(), [0.5, -1.25, 65504.0, 0.0]
    [row] = database.run(b"SELECT %s::halfvec::text AS text", [HalfVector.from_floats(values)])
    assert row["text"] == "[0.5,-1.25,65504,0]"


def test_half_vectors_come_back_as_they_were(connect: Connect) -> None:
    vector = HalfVector.from_floats([0.1, -0.2, 3.0])
    [row] = connect().run(b"SELECT halfvec_send(%s::halfvec) AS raw", [vector])
    assert HalfVector(row["raw"]).to_list() == vector.to_list()


def test_sparse_vectors_arrive_as_pgvector_reads_them(connect: Connect) -> None:
    vector = SparseVector.from_items(1 << 20, [0, 7, (1 << 20) - 1], [1.5, 2.0, 0.25])
    [row] = connect().run(b"SELECT %s::sparsevec::text AS text", [vector])
    assert row["text"] == "{1:1.5,8:2,1048576:0.25}/1048576"


def test_integer_arrays_arrive_as_they_were(connect: Connect) -> None:
    items = [1, -(1 << 31), (1 << 31) - 1]
    [row] = connect().run(
        b"SELECT %s::integer[] AS some, %s::integer[] AS none", [IntArray.from_items(items), IntArray.from_items([])]
    )
    assert row == {"some": items, "none": []}


def test_copied_rows_arrive_whole(connect: Connect, kb: KnowledgeBase) -> None:
    from spandrel.binary_copy import int4, text_array

    kb.rows("CREATE TABLE copied (n int, words text[], note text); GRANT ALL ON copied TO spandrel_system")
    rows = [(int4(n), text_array(["ä", "", "x" * n]), None if n % 2 else b"n" * 1000) for n in range(1000)]
    with connect("spandrel_system").transaction() as tx:
        tx.execute(b"SELECT 1")
        tx.copy(b"COPY copied FROM STDIN (FORMAT binary)", rows)
        tx.execute(b"SELECT 1")
    assert kb.one("SELECT count(*) FROM copied WHERE words = ARRAY['ä', '', repeat('x', n)]") == 1000
    assert kb.one("SELECT count(*) FROM copied WHERE note IS NULL") == 500


def test_several_tables_are_copied_in_turn(connect: Connect, kb: KnowledgeBase) -> None:
    """Of the first there is more than may wait; what is put together ahead belongs to its own table."""
    from spandrel.binary_copy import READY_BYTES, int4

    kb.rows("CREATE TABLE long (n int, note text); CREATE TABLE short (n int)")
    kb.rows("GRANT ALL ON long, short TO spandrel_system")
    note = b"x" * 10_000
    count = READY_BYTES // len(note) + 100
    with connect("spandrel_system").transaction() as tx:
        tx.copy_all(
            {
                b"COPY long FROM STDIN (FORMAT binary)": ((int4(n), note) for n in range(count)),
                b"COPY short FROM STDIN (FORMAT binary)": ((int4(n),) for n in range(10 * count)),
            }
        )
    assert kb.one("SELECT count(DISTINCT n) FROM long WHERE note = repeat('x', 10000)") == count
    assert kb.one("SELECT count(DISTINCT n) FROM short") == 10 * count


def test_a_failing_copy_leaves_nothing_and_the_connection_usable(connect: Connect, kb: KnowledgeBase) -> None:
    database = connect("spandrel_system")

    def rows() -> Iterator[tuple[bytes]]:
        yield (b"one",)
        raise NotFoundError

    def work() -> None:
        with database.transaction() as tx:
            tx.copy(b"COPY copied FROM STDIN (FORMAT binary)", rows())

    kb.rows("CREATE TABLE copied (note text); GRANT ALL ON copied TO spandrel_system")
    with pytest.raises(NotFoundError):
        work()
    assert kb.one("SELECT count(*) FROM copied") == 0
    assert database.run(b"SELECT 1 AS one") == [{"one": 1}]


def test_time_passes_no_faster_for_an_idle_connection(connect: Connect) -> None:
    """Looking whether the server hung up must not wait for it."""
    database = connect()
    database.run(b"SELECT 1")
    begun = time.monotonic()
    for _ in range(50):
        database.run(b"SELECT 1")
    assert time.monotonic() - begun < 2


def test_a_function_reads_times_in_utc_whatever_the_servers_zone(
    cluster: Cluster, database_name: str, database_url: str
) -> None:
    """A function leaves zoneinfo out: its driver must neither fail over a zone nor warn of it at each cold start."""
    cluster.execute(f"ALTER DATABASE \"{database_name}\" SET timezone TO 'Asia/Tokyo'")
    program = """
import sys
from spandrel.database import Database
from spandrel.settings import DatabaseSettings
settings = DatabaseSettings(
    url=sys.argv[1], host=None, port=5432, name="", region="", proxy=False, ssl_root_cert="unused"
)
query = b"SELECT current_setting('TimeZone') AS zone, timestamptz '2026-11-27 12:00+09' AS at"
[row] = Database(settings, "spandrel_app").run(query, user_id="ada")
assert "zoneinfo" not in sys.modules
print(row["zone"], row["at"].isoformat())
"""
    process = subprocess.run([sys.executable, "-c", program, database_url], capture_output=True, text=True, check=False)
    assert (process.stdout, process.stderr) == ("Asia/Tokyo 2026-11-27T03:00:00+00:00\n", "")
