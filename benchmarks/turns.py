"""A turn's persistence beside LangGraph's PostgresSaver: time at 0 and 1 ms round trip, flights, bytes of a session.

    python -m benchmarks.turns

No model is asked on either side. Ours: claim (state and history loaded), then completion (messages, checkpoint, ledger,
events), by a worker that did the session's last turn and by one that has not seen the session. Theirs: one `invoke` of
a graph with a single node that appends an answer, by default and with `durability="exit"`. Rounds take turns; medians
are printed.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row

from benchmarks import server
from benchmarks.chunking import prose
from benchmarks.slow_proxy import slow_way
from spandrel.chat.histories import Histories
from spandrel.chat.store import TurnStore
from spandrel.chat.work import NewMessage
from spandrel.database import Database
from spandrel.prompts.models import TemplateRef
from spandrel.prompts.prepare import Prepare, User
from spandrel.sessions.begin import BeginSession
from spandrel.sessions.begin_models import SessionRequest
from spandrel.sessions.messages import TurnTask
from spandrel.sessions.turns import Turns
from spandrel.templates.store import NewTemplate
from spandrel.templates.templates import Templates
from spandrel.usage.models import ModelCall

ROUNDS = 30
QUESTION_CHARACTERS, ANSWER_CHARACTERS = 150, 1200
SOURCE = '---\ninput:\n  schema:\n    name: string\n---\n{{role "system"}}You take the minutes for {{name}}.'
OUR_TABLES = ("branches", "session_checkpoints", "turns", "session_status_changes")  # by session
WRITTEN = """
    SELECT (SELECT sum(octet_length(checkpoint::text) + octet_length(metadata::text)) FROM checkpoints
            WHERE thread_id = %(thread)s)
         + (SELECT sum(octet_length(blob)) FROM checkpoint_blobs WHERE thread_id = %(thread)s)
         + (SELECT sum(octet_length(blob)) FROM checkpoint_writes WHERE thread_id = %(thread)s)
"""
"""The values alone. Ours are too short for Postgres to compress, so they take what was written."""
THEIR_TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")


def said() -> Iterator[tuple[str, str]]:
    """Questions and answers of English prose, no two alike: what compresses well would flatter whoever repeats it."""
    text = prose(2.0).replace("\n", " ")
    size = QUESTION_CHARACTERS + ANSWER_CHARACTERS
    for begin in range(0, len(text) - size, size):
        piece = text[begin : begin + size]
        yield piece[:QUESTION_CHARACTERS], piece[QUESTION_CHARACTERS:]


SAID = said()


class NoQueue:
    def send(self, body: dict[str, Any], *, group: str, deduplication_id: str) -> None:
        pass


class Ours:
    """A session, and turns of it; `persist` is what is timed. `warm`: one worker does them all."""

    def __init__(self, database: Database, *, warm: bool = True) -> None:
        self.database, self.turns = database, Turns(database, NoQueue())
        self.histories = Histories() if warm else Histories(size=0)
        prepare = Prepare(database, lambda: None)  # type: ignore[arg-type, return-value]
        template = Templates(database).create("bench", NewTemplate(f"t-{uuid4().hex}", SOURCE)).template
        begin = BeginSession(database, prepare, NoQueue, "bench")
        request = SessionRequest(template=TemplateRef(id=template.id), variables={"name": "the committee"})
        self.session_id = begin.run(User("bench"), request).id

    def ask(self, question: str) -> UUID:
        return self.turns.ask("bench", self.session_id, question, uuid4().hex).id

    def persist(self, turn_id: UUID, question: str, answer: str) -> None:
        task = TurnTask(turn_id=turn_id, session_id=self.session_id, user_id="bench")
        store = TurnStore(self.database, task, uuid4(), 60, self.histories)
        outcome, _ = store.claim()
        assert outcome == "claimed"
        messages = [NewMessage("user", question, 30), NewMessage("assistant", answer, 150)]
        assert store.complete(messages, [ModelCall("turn", "bench", None, 30, 0, 150, Decimal(0))], None)


def theirs(url: str, durability: str | None) -> tuple[Callable[[str, str], object], str]:
    from langchain_core.messages import AIMessage, HumanMessage
    from langgraph.checkpoint.postgres import PostgresSaver
    from langgraph.graph import END, START, MessagesState, StateGraph

    connection = psycopg.connect(url, autocommit=True, prepare_threshold=0, row_factory=dict_row)
    saver, thread = PostgresSaver(connection), uuid4().hex
    next_answer = [""]
    graph = StateGraph(MessagesState)
    graph.add_node("answer", lambda _: {"messages": [AIMessage(next_answer[0])]})
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    compiled = graph.compile(checkpointer=saver)
    more: dict[str, Any] = {"durability": durability} if durability else {}

    def turn(question: str, answer: str) -> object:
        next_answer[0] = answer
        asked = {"messages": [HumanMessage(question)]}
        return compiled.invoke(asked, {"configurable": {"thread_id": thread}}, **more)

    return turn, thread


def time_of(run: Callable[..., object], *arguments: object) -> float:
    begin = time.perf_counter()
    run(*arguments)
    return (time.perf_counter() - begin) * 1000


def bare_query(url: str) -> float:
    """What the way itself costs: the median milliseconds of a statement that does nothing."""
    with psycopg.connect(url, autocommit=True) as connection:
        return statistics.median(time_of(connection.execute, "SELECT") for _ in range(200))


def compare(directory: str, round_trip: float) -> None:
    url = f"postgresql:///turns?host={quote(directory, safe='/')}"
    database = server.as_role(url, "spandrel_app")
    ours = {"a worker that knows the session": Ours(database), "one that does not": Ours(database, warm=False)}
    admin = url.replace("///", "//postgres@/")
    print(f"a bare query at {round_trip} ms round trip: {bare_query(admin):.2f} ms", flush=True)
    peers = {"by default": theirs(admin, None)[0], 'durability="exit"': theirs(admin, "exit")[0]}
    times: dict[str, list[float]] = {name: [] for name in (*ours, *peers)}
    for number in range(ROUNDS + 5):
        pair = next(SAID)
        asked = {name: our.ask(pair[0]) for name, our in ours.items()}
        taken = {name: time_of(our.persist, asked[name], *pair) for name, our in ours.items()}
        taken |= {name: time_of(turn, *pair) for name, turn in peers.items()}
        if number >= 5:
            for name, each in taken.items():
                times[name].append(each)
    for mine in ours:
        told = ", ".join(
            f"LangGraph {name} {statistics.median(times[name]):.1f} ms, ratio "
            f"{statistics.median(b / a for a, b in zip(times[mine], times[name], strict=True)):.1f}"
            for name in peers
        )
        print(
            f"a turn's persistence at {round_trip} ms round trip: ours, by {mine}, "
            f"{statistics.median(times[mine]):.1f} ms, {told}",
            flush=True,
        )


def bytes_of(url: str, turns: int) -> None:
    our = Ours(server.as_role(url, "spandrel_app"))
    admin = url.replace("///", "//postgres@/")
    turn, thread = theirs(admin, None)
    characters = 0
    for _ in range(turns):
        question, answer = next(SAID)
        our.persist(our.ask(question), question, answer)
        turn(question, answer)
        characters += len((question + answer).encode())
    with psycopg.connect(admin) as connection:

        def total(tables: tuple[str, ...], column: str, key: object) -> int:
            sums = [
                connection.execute(
                    f"SELECT coalesce(sum(pg_column_size(t.*)), 0) FROM {table} t WHERE {column} = %s", [key]
                ).fetchone()[0]  # type: ignore[index]
                for table in tables
            ]
            return int(sum(sums))

        branch = connection.execute("SELECT id FROM branches WHERE session_id = %s", [our.session_id]).fetchone()[0]  # type: ignore[index]
        mine = total(
            tuple(t for t in OUR_TABLES if t not in ("messages", "agent_sessions")), "session_id", our.session_id
        )
        mine += total(("messages",), "branch_id", branch) + total(("agent_sessions",), "id", our.session_id)
        besides = total(("usage_ledger",), "session_id", our.session_id)
        peers = total(THEIR_TABLES, "thread_id", thread)
        [written] = connection.execute(WRITTEN, {"thread": thread}).fetchone()  # type: ignore[misc]
    print(
        f"bytes of {turns} turns: ours {mine:,} ({mine / characters:.2f} x its messages; ledger {besides:,} besides), "
        f"LangGraph {written:,} as written, ratio {written / mine:.1f}, {peers:,} once Postgres has compressed them, "
        f"ratio {peers / mine:.1f}",
        flush=True,
    )


def main() -> None:
    from langgraph.checkpoint.postgres import PostgresSaver

    with server.postgres() as address:
        url = server.fresh_database(address, "turns", "bench", 8)
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            PostgresSaver(connection).setup()
        directory = address.split("host=")[1]
        compare(directory, 0)
        with slow_way(directory, 1) as slow:
            compare(slow, 1)
        plain = f"postgresql:///turns?host={quote(directory, safe='/')}"
        for turns in (20, 100):
            bytes_of(plain, turns)


if __name__ == "__main__":
    main()
