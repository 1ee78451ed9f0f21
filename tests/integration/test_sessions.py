"""Session init: what is bound, composed, scored, stored and told, in how many flights."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from spandrel.errors import IdempotencyMismatchError, NotFoundError, VariablesInvalidError
from spandrel.prompts.models import TemplateRef
from spandrel.prompts.prepare import Prepare, User
from spandrel.sessions.begin import BeginSession
from spandrel.sessions.begin_models import SessionRequest
from tests.support.flights import FlightCounter
from tests.support.knowledge import ADA, BOB
from tests.support.postgres import Cluster
from tests.support.studio import GREETING, Studio

CALENDAR = """---
input:
  schema:
    day: string
spandrel.capabilities: [calendar.read]
spandrel.auto_execute: true
spandrel.confidence_threshold: 0.9
---
{{role "system"}}
You plan {{day}}.
{{role "user"}}
What is on {{day}}?
"""
LIBRARIAN = """---
input:
  schema:
    topic: string
spandrel.knowledge:
  query: "{{topic}}"
  top_k: 3
  mode: text
---
{{role "system"}}
You answer from the passages.
"""


def test_a_session_is_begun_with_all_that_its_prompt_came_from(studio: Studio) -> None:
    answer = studio.begin(variables={"name": "Bo", "tone": "warm"}, template=studio.template())
    assert (answer.status, answer.missing, answer.turn) == ("active", [], None)
    assert answer.prompt.messages[0].content.strip() == "You greet Bo in a warm tone."
    assert {name: bound.source for name, bound in answer.variables.items()} == {"name": "given", "tone": "given"}
    session = studio.session(answer.id)
    assert session.variables == answer.variables
    assert session.confidence == answer.confidence
    assert (session.prompt_hash, session.checkpoints, session.turns) == (answer.prompt.hash, 0, 0)
    assert [checkpoint.number for checkpoint in studio.checkpoints.page(ADA, answer.id, 10, None).items] == [0]
    assert studio.events() == ["session.created"]


def test_what_is_missing_is_waited_for(studio: Studio) -> None:
    answer = studio.begin(studio.template(), variables={"tone": "warm"})
    assert (answer.status, answer.missing) == ("initializing", ["name"])
    [required] = [reason for reason in answer.confidence.reasons if reason.part == "required"]
    assert (required.score, required.raised_by) == (0.0, "Give name.")
    session = studio.sessions.give_variables(User(ADA), answer.id, {"name": "Bo"})
    assert (session.status, session.missing) == ("active", [])
    assert session.variables["tone"].value == "warm"
    assert studio.events() == ["session.created", "session.active"]


def test_some_of_what_is_missing_leaves_it_waiting(studio: Studio) -> None:
    source = GREETING.replace("tone?: string", "tone: string")
    answer = studio.begin(studio.template(source))
    session = studio.sessions.give_variables(User(ADA), answer.id, {"name": "Bo"})
    assert (session.status, session.missing) == ("initializing", ["tone"])


def test_wrong_values_are_told_all_at_once_and_nothing_is_begun(studio: Studio) -> None:
    with pytest.raises(VariablesInvalidError) as caught:
        studio.begin(studio.template(), variables={"name": 7, "nme": "x"})
    assert {error["variable"] for error in caught.value.members["errors"]} == {"name", "nme"}
    assert studio.kb.one("SELECT count(*) FROM agent_sessions") == 0


def test_a_template_that_is_sure_starts_by_itself(studio: Studio) -> None:
    studio.integration()
    answer = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    assert answer.confidence.score == 1.0
    assert answer.turn is not None
    assert (answer.turn.number, answer.turn.status) == (1, "queued")
    assert studio.queue.messages[0]["turn_id"] == str(answer.turn.id)
    assert studio.events()[-2:] == ["session.created", "turn.queued"]
    assert [tool.name for tool in answer.prompt.tools] == ["work__read_events"]


@pytest.mark.parametrize("status", ["unreachable", "unknown", "auth_required"])
def test_one_that_is_not_sure_waits_and_says_what_would_help(studio: Studio, status: str) -> None:
    studio.integration(status=status)
    answer = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    assert answer.turn is None
    assert answer.confidence.score < answer.confidence.threshold
    [hint] = [reason.raised_by for reason in answer.confidence.reasons if reason.raised_by]
    assert hint == f"Make available: calendar.read ({status})."
    assert answer.prompt.tools == []
    assert any("Not available now: calendar.read" in message.content for message in answer.prompt.messages)


def test_a_queue_that_is_down_loses_no_turn(studio: Studio) -> None:
    studio.integration()
    studio.queue.broken = True
    answer = studio.begin(studio.template(CALENDAR), variables={"day": "Monday"})
    assert answer.turn is not None
    studio.queue.broken = False
    studio.kb.rows("UPDATE turns SET queued_at = now() - interval '2 minutes'")
    assert studio.upkeep.recover_turns().requeued == 1
    assert studio.queue.messages[0]["turn_id"] == str(answer.turn.id)


def test_knowledge_is_retrieved_and_counts(studio: Studio) -> None:
    template = studio.template(LIBRARIAN)
    poor = studio.begin(template, variables={"topic": "whales"})
    assert poor.prompt.passages == []
    studio.kb.add(studio.kb.collection(), "# Sea\n\nWhales sing in the deep.")
    rich = studio.begin(template, variables={"topic": "whales"})
    assert rich.confidence.score > poor.confidence.score
    [passage] = rich.prompt.passages
    assert (passage.number, passage.heading_path) == (1, ["Sea"])
    assert rich.cache.reason == "knowledge"
    assert "[1] a.md, Sea\n" in rich.prompt.messages[-1].content


# -- the cache


def test_a_composition_is_at_hand_until_something_changes(studio: Studio) -> None:
    template = studio.template(CALENDAR)
    reasons = [studio.begin(template, variables={"day": "Monday"}).cache.reason for _ in range(2)]
    studio.integration()
    reasons += [studio.begin(template, variables={"day": "Monday"}).cache.reason for _ in range(2)]
    reasons.append(studio.begin(template, variables={"day": "Friday"}).cache.reason)
    reasons.append(studio.begin(template, variables={"day": "Friday"}, locale="de").cache.reason)
    assert reasons == ["first_use", "hit", "capabilities", "hit", "variables", "system_variables"]


def test_what_a_renamed_collection_holds_is_not_at_hand_under_its_old_name(studio: Studio) -> None:
    source = LIBRARIAN.replace("spandrel.knowledge:\n", "spandrel.knowledge:\n  collections: [papers]\n")
    template, collection = studio.template(source), studio.kb.collection(name="papers")
    studio.kb.add(collection, "Whales sing in the deep.")
    assert len(studio.begin(template, variables={"topic": "whales"}).prompt.passages) == 1
    studio.kb.collections.rename(ADA, collection.id, "private")
    assert studio.begin(template, variables={"topic": "whales"}).prompt.passages == []


def test_one_users_composition_is_not_anothers(studio: Studio) -> None:
    template = studio.template(CALENDAR)
    studio.kb.rows("UPDATE templates SET visibility = 'shared'")
    studio.integration()
    assert studio.begin(template, variables={"day": "Monday"}).prompt.tools != []
    answer = studio.begin(template, user=BOB, variables={"day": "Monday"})
    assert (answer.cache.reason, answer.prompt.tools) == ("first_use", [])


# -- who and which


def test_a_template_is_found_by_id_name_label_and_version(studio: Studio) -> None:
    template = studio.template(name="greeting")
    for ref in (
        TemplateRef(id=template),
        TemplateRef(name="greeting"),
        TemplateRef(name="greeting", label="latest"),
        TemplateRef(name="greeting", version=1),
    ):
        assert studio.prepare.context(ADA, ref).template_id == template


@pytest.mark.parametrize(
    "ref",
    [TemplateRef(id=uuid4()), TemplateRef(name="greeting", label="beta"), TemplateRef(name="greeting", version=2)],
)
def test_what_is_not_there_is_not_found(studio: Studio, ref: TemplateRef) -> None:
    studio.template(name="greeting")
    with pytest.raises(NotFoundError):
        studio.prepare.context(ADA, ref)


def test_anothers_template_is_not_there_until_it_is_shared(studio: Studio) -> None:
    template = studio.template()
    with pytest.raises(NotFoundError):
        studio.begin(template, user=BOB, variables={"name": "Bo"})
    studio.kb.rows("UPDATE templates SET visibility = 'shared'")
    assert studio.begin(template, user=BOB, variables={"name": "Bo"}).status == "active"


def test_a_conversation_takes_several_sessions_of_its_owner_alone(studio: Studio) -> None:
    template = studio.template()
    first = studio.begin(template, variables={"name": "A"}, title="Greetings")
    second = studio.begin(template, variables={"name": "B"}, conversation_id=first.conversation_id)
    assert second.conversation_id == first.conversation_id
    [conversation] = studio.conversations.page(ADA, 10, None).items
    assert (conversation.title, conversation.session_count) == ("Greetings", 2)
    studio.kb.rows("UPDATE templates SET visibility = 'shared'")
    with pytest.raises(NotFoundError):
        studio.begin(template, user=BOB, variables={"name": "B"}, conversation_id=first.conversation_id, key="k")
    assert studio.kb.one("SELECT count(*) FROM idempotency_keys WHERE user_id = %s", BOB) == 0


# -- idempotency


def test_the_same_key_gives_the_same_session(studio: Studio) -> None:
    template = studio.template()
    first = studio.begin(template, variables={"name": "A"}, key="k")
    assert studio.begin(template, variables={"name": "A"}, key="k") == first
    with pytest.raises(IdempotencyMismatchError):
        studio.begin(template, variables={"name": "B"}, key="k")
    assert studio.kb.one("SELECT count(*) FROM agent_sessions") == 1


def test_fifty_posts_at_once_make_one_session(studio: Studio) -> None:
    template = studio.template()
    request = SessionRequest(template=TemplateRef(id=template), variables={"name": "A"})
    answers: list[Any] = []
    ready = threading.Barrier(50)

    def post() -> None:
        database = studio.kb.connect("spandrel_app")
        begin = BeginSession(database, Prepare(database, lambda: studio.kb.search), lambda: studio.queue, "fake-model")
        ready.wait()
        answers.append(begin.run(User(ADA), request, "k").id)
        database.close()

    threads = [threading.Thread(target=post) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 50
    assert len(set(answers)) == 1
    assert studio.kb.one("SELECT count(*) FROM agent_sessions") == 1


def test_a_session_outlasts_its_template(studio: Studio) -> None:
    template = studio.template()
    waiting = studio.begin(template)
    studio.templates.delete(ADA, template)
    given = studio.sessions.give_variables(User(ADA), waiting.id, {"name": "Ada"})
    assert (given.status, given.missing) == ("active", [])
    with pytest.raises(NotFoundError):
        studio.begin(template)


# -- flights


@pytest.fixture
def counter(cluster: Cluster) -> Iterator[FlightCounter]:
    with FlightCounter(cluster.socket_directory) as found:
        yield found


def test_flights_of_session_init_and_prompt_generation(
    studio: Studio, counter: FlightCounter, cluster: Cluster, database_name: str
) -> None:
    from spandrel.database import Database
    from spandrel.prompts.generate import GeneratePrompt
    from spandrel.prompts.models import PromptRequest
    from tests.support.postgres import settings_for

    database = Database(settings_for(cluster.url(database_name, host=counter.directory)), "spandrel_app")
    database.run(b"SELECT 1")
    prepare = Prepare(database, lambda: studio.kb.search)
    ref = TemplateRef(id=studio.template())
    begin = BeginSession(database, prepare, lambda: studio.queue, "fake-model")
    generate = GeneratePrompt(prepare)

    def flights(work: Callable[[], object]) -> int:
        before = counter.flights
        work()
        return counter.flights - before

    request = SessionRequest(template=ref, variables={"name": "A"})
    assert flights(lambda: begin.run(User(ADA), request, "k")) == 2
    assert flights(lambda: begin.run(User(ADA), request, "k")) == 1
    asked = PromptRequest(template=ref, variables={"name": "A"})
    assert [flights(lambda: generate.run(User(ADA), asked)) for _ in range(2)] == [1, 1]
    database.close()
