"""In what order a prompt's parts stand, and what its cache knows of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from spandrel.prompts import tokens
from spandrel.prompts.cache import Lru, PromptCache, PromptKey
from spandrel.prompts.compose import compose, prompt_hash
from spandrel.prompts.models import Composed, Message, Passage
from spandrel.templates.parse import parse
from tests.unit.prompts.test_capabilities import row

SOURCE = """---
input:
  schema:
    topic: string
spandrel.capabilities: [calendar.read]
---
{{role "system"}}
You know {{topic}}.
{{role "user"}}
An example?
{{role "model"}}
An answer.
{{history}}
{{role "user"}}
Tell of {{topic}}.
"""
PASSAGE = Passage(
    number=1,
    document_id=UUID(int=1),
    document_name="sea.pdf",
    ordinal=0,
    heading_path=["Whales", "Song"],
    page=7,
    score=0.5,
    text="They sing.",
)


def composed(
    source: str = SOURCE, tools: list[dict[str, Any]] | None = None, passages: tuple[Passage, ...] = ()
) -> Composed:
    found = parse(source, lambda _: None)
    return compose(found.structure, found.program, {"topic": "whales"}, {}, tools or [], passages)


def parts(messages: list[Message]) -> list[tuple[str, str]]:
    return [(message.section, message.content) for message in messages]


def test_what_is_stable_stands_in_front_and_what_changes_behind_the_history() -> None:
    found = composed(tools=[row()], passages=(PASSAGE,))
    assert parts(found.before) == [
        ("instructions", "You know whales."),
        ("examples", "An example?"),
        ("examples", "An answer."),
    ]
    assert [section for section, _ in parts(found.after)] == ["knowledge", "input"]
    assert found.after[0].content.endswith("[1] sea.pdf, Whales, Song, page 7\nThey sing.")
    assert found.after[1].content == "Tell of whales."
    assert [tool.name for tool in found.tools] == ["work__read_events"]


def test_without_a_mark_for_the_history_everything_stands_before_it() -> None:
    found = composed(SOURCE.replace("{{history}}\n", ""))
    assert [section for section, _ in parts(found.before)] == [
        "instructions",
        "capabilities",
        "examples",
        "examples",
        "examples",
    ]
    assert found.after == []


def test_the_model_is_told_what_it_was_meant_to_have() -> None:
    told = dict(parts(composed().before))["capabilities"]
    assert told == "Not available now: calendar.read (no_tool). Say so where it is asked for."


def test_equal_prompts_have_equal_hashes_and_others_do_not() -> None:
    assert composed(tools=[row()]).hash == composed(tools=[row()]).hash
    assert len({composed().hash, composed(tools=[row()]).hash, composed(passages=(PASSAGE,)).hash}) == 3
    assert prompt_hash([], []) == prompt_hash([], [])


@pytest.mark.parametrize("count", [tokens.exact, tokens.estimate])
def test_tokens_are_counted_by_section(count: Any) -> None:
    found = composed(tools=[row()], passages=(PASSAGE,))
    counted = tokens.count_sections([*found.before, *found.after], found.tools, count=count)
    assert counted.history == counted.capabilities == 0
    sections = (counted.instructions, counted.examples, counted.tools, counted.knowledge, counted.input)
    assert all(sections)
    assert counted.total == sum(sections)
    assert counted.method == ("cl100k_base" if count is tokens.exact else "estimate")


# -- the cache


def key(**changes: Any) -> PromptKey:
    base: dict[str, Any] = {
        "version": b"v", "variables": b"{}", "system_variables": b"{}", "capabilities": 1, "knowledge": 1
    }  # fmt: skip
    return PromptKey(**base | changes)


@pytest.mark.parametrize(
    "change",
    [
        {"version": b"w"},
        {"variables": b"x"},
        {"system_variables": b"x"},
        {"capabilities": 2},
        {"knowledge": 2},
    ],
)
def test_a_miss_says_what_had_changed(change: dict[str, Any]) -> None:
    cache, prompt = PromptCache(), composed()
    assert cache.find("ada", "t", key())[1].reason == "first_use"
    cache.put("ada", key(), prompt)
    assert cache.find("ada", "t", key()) == (prompt, cache.find("ada", "t", key())[1])
    found, report = cache.find("ada", "t", key(**change))
    assert (found, report.hit, report.reason) == (None, False, next(iter(change)))


def test_nobody_finds_what_is_anothers() -> None:
    cache = PromptCache()
    cache.put("ada", key(), composed())
    assert cache.find("bob", "t", key())[0] is None


def test_what_was_dropped_for_want_of_room_is_made_anew() -> None:
    cache = PromptCache(size=1)
    cache.put("ada", key(), composed())
    cache.find("ada", "t", key())
    cache.put("ada", key(variables=b"x"), composed())
    assert cache.find("ada", "t", key())[1].reason == "first_use"


def test_the_entries_that_were_used_last_stay() -> None:
    lru: Lru[str, int] = Lru(2)
    lru.put("a", 1)
    lru.put("b", 2)
    assert lru.get("a") == 1
    lru.put("c", 3)
    assert (lru.get("a"), lru.get("b"), lru.get("c")) == (1, None, 3)
