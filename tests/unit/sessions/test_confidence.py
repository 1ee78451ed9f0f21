"""How sure a session is of its start, and what would raise it."""

from __future__ import annotations

from typing import Any

import pytest

from spandrel.prompts.compose import compose
from spandrel.prompts.models import Composed
from spandrel.sessions.begin_models import Confidence
from spandrel.sessions.confidence import DEGRADED, WITHOUT_CAPABILITIES, WITHOUT_KNOWLEDGE, assess
from spandrel.templates.bind import bind
from spandrel.templates.parse import parse
from tests.unit.prompts.test_capabilities import row
from tests.unit.prompts.test_compose import PASSAGE

PLAIN = '{{role "system"}}Hello.'
ASKING = """---
input:
  schema:
    day: string
    place: string
spandrel.capabilities: [calendar.read, mail.send]
spandrel.confidence_threshold: 0.7
spandrel.knowledge:
  query: "{{day}}"
---
{{day}} {{place}}
"""


def confidence(
    source: str, given: dict[str, Any], tools: list[dict[str, Any]], passages: tuple[Any, ...]
) -> Confidence:
    found = parse(source, lambda _: None)
    bindings = bind(found.structure, given, allow_missing=True)
    prompt: Composed = compose(found.structure, found.program, bindings.values, {}, tools, passages)
    return assess(found.structure, bindings, prompt)


BOTH = {"day": "Monday", "place": "Rome"}
MAIL = row("post", "send", capabilities=["mail.send"])


def test_nothing_asked_for_is_certain() -> None:
    found = confidence(PLAIN, {}, [], ())
    assert (found.score, found.threshold) == (1, 0.8)
    assert [reason.raised_by for reason in found.reasons] == [None] * 4


def test_everything_there_is_certain() -> None:
    assert confidence(ASKING, BOTH, [row(), MAIL], (PASSAGE,)).score == 1


@pytest.mark.parametrize(
    ("given", "tools", "passages", "score", "part", "hint"),
    [
        ({"day": "Monday"}, [row(), MAIL], (PASSAGE,), 0.5, "required", "Give place."),
        ({}, [row(), MAIL], (PASSAGE,), 0, "required", "Give day, place."),
        (BOTH, [row(), MAIL], (), WITHOUT_KNOWLEDGE, "knowledge", "Upload documents"),
        (BOTH, [], (PASSAGE,), WITHOUT_CAPABILITIES, "capabilities", "Make available: calendar.read (no_tool), mail"),
        (BOTH, [row()], (PASSAGE,), 0.7, "capabilities", "Make available: mail.send (no_tool)."),
        (
            BOTH,
            [row(integration_status="degraded"), MAIL],
            (PASSAGE,),
            round(WITHOUT_CAPABILITIES + (1 - WITHOUT_CAPABILITIES) * (1 + DEGRADED) / 2, 4),
            "capabilities",
            "Wait for a degraded integration: calendar.read.",
        ),
    ],
)
def test_each_shortcoming_lowers_it_and_says_what_helps(
    given: dict[str, Any], tools: list[dict[str, Any]], passages: tuple[Any, ...], score: float, part: str, hint: str
) -> None:
    found = confidence(ASKING, given, tools, passages)
    assert found.score == score
    [reason] = [reason for reason in found.reasons if reason.raised_by]
    assert reason.part == part
    assert (reason.raised_by or "").startswith(hint)
    assert found.threshold == 0.7


def test_shortcomings_multiply() -> None:
    assert confidence(ASKING, BOTH, [row()], ()).score == round(0.7 * WITHOUT_KNOWLEDGE, 4)
