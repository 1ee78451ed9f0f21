from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from spandrel.templates import compare as comparing
from spandrel.templates.compare import compare
from spandrel.templates.models import TemplateVersion, VersionDiff
from tests.support.prompts import parsed


def version(source: str, number: int = 1) -> TemplateVersion:
    structure = parsed(source, p="x").structure
    now = datetime.now(UTC)
    return TemplateVersion(
        template_id=UUID(int=1), version=number, source=source, hash="", structure=structure, labels=[], created_at=now
    )


def difference(before: str, after: str) -> VersionDiff:
    return compare(version(before), version(after, 2))


def test_the_same_is_no_change() -> None:
    found = difference("a {{b}}", "a {{b}}")
    assert (found.source, found.structure) == ("", [])


def test_what_changed_has_its_path_and_both_values() -> None:
    before = '---\nspandrel.knowledge: {query: a, top_k: 3}\ntools: [x, y]\n---\n{{role "user"}}'
    after = '---\nspandrel.knowledge: {query: b, top_k: 3}\ntools: [y, x]\n---\n{{role "system"}}{{> p}}'
    changes = {change.path: change for change in difference(before, after).structure}
    assert changes.keys() == {"knowledge.query", "roles", "partials.p"}
    query = changes["knowledge.query"]
    assert (query.kind, query.before, query.after) == ("changed", "a", "b")
    assert (changes["roles"].before, changes["roles"].after) == (["user"], ["system"])
    assert changes["partials.p"].kind == "added"


@pytest.mark.parametrize(
    ("before", "after", "hunk"),
    [
        ("a\nb\nc", "a\nx\nc", "@@ -2,1 +2,1 @@\n-b\n+x\n"),
        ("a\nc", "a\nb\nc", "@@ -1,0 +2,1 @@\n+b\n"),
        ("a\nb\nc", "a\nc", "@@ -2,1 +1,0 @@\n-b\n"),
        ("a\na", "a\na\na", "@@ -2,0 +3,1 @@\n+a\n"),
        ("a", "b\na", "@@ -0,0 +1,1 @@\n+b\n"),
    ],
)
def test_long_sources_are_compared_from_the_first_difference_to_the_last(
    monkeypatch: pytest.MonkeyPatch, before: str, after: str, hunk: str
) -> None:
    monkeypatch.setattr(comparing, "MOST_LINES", 0)
    assert difference(before, after).source == f"--- version 1\n+++ version 2\n{hunk}"


def test_long_sources_that_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MOST_LINES", 0)
    assert difference("a\nb", "a\nb").source == ""
