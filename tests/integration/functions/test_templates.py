"""/v1/templates through its handler, on real Postgres: saving, versions, labels, sharing, faults."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors as pg

from spandrel.errors import NotFoundError
from spandrel.prompts.models import TemplateRef
from spandrel.prompts.prepare import Prepare
from spandrel.templates.bind import bind
from spandrel.templates.render import render
from spandrel.templates.templates import Templates
from tests.support.api import Answer, call
from tests.support.knowledge import ADA, BOB, KnowledgeBase

pytestmark = pytest.mark.usefixtures("wired")
PATH = "/v1/templates"


def create(name: str = "greet", source: str = "Hello {{name}}", user: str = ADA, **more: Any) -> Answer:
    return call("POST", PATH, body={"name": name, "source": source} | more, user=user)


def made(*arguments: Any, **more: Any) -> str:
    """The path of a new template."""
    answer = create(*arguments, **more)
    assert answer.status == 201, answer.text
    return f"{PATH}/{answer.json['template']['id']}"


def save(path: str, source: str, user: str = ADA) -> Answer:
    return call("POST", f"{path}/versions", body={"source": source}, user=user)


def labels(path: str) -> dict[str, int]:
    return dict(call("GET", path).json["labels"])


def names(**query: Any) -> list[str]:
    return [item["name"] for item in call("GET", PATH, query=query).json["items"]]


def events(kb: KnowledgeBase, user: str = ADA) -> list[tuple[str, dict[str, Any]]]:
    rows = kb.rows("SELECT type, data FROM events WHERE user_id = %s ORDER BY seq", user)
    return [(row["type"], row["data"]) for row in rows]


# -- saving


def test_a_template_comes_with_its_first_version(kb: KnowledgeBase) -> None:
    source = "---\nmodel: m\ninput: {schema: {name: 'string, whose'}, default: {name: you}}\n---\nHello {{name}}"
    answer = create(source=source, description="Greets.").json
    template, version = answer["template"], answer["version"]
    assert (template["name"], template["kind"], template["description"]) == ("greet", "prompt", "Greets.")
    assert (template["versions"], template["labels"], template["own"]) == (1, {"latest": 1, "production": 1}, True)
    assert (version["version"], version["source"], version["labels"]) == (1, source, ["latest", "production"])
    assert version["structure"]["model"] == "m"
    assert version["structure"]["variables"] == [
        {
            "name": "name", "type": "string", "required": False, "default": "you", "description": "whose",
            "schema": {"type": "string", "description": "whose"},
        }
    ]  # fmt: skip
    assert len(version["hash"]) == 64
    assert answer["created"] is True
    assert events(kb) == [("template.created", {"name": "greet", "kind": "prompt", "visibility": "private"})]


def test_a_source_with_faults_is_not_saved(kb: KnowledgeBase) -> None:
    answer = create(source="---\nmodel: 5\n---\n{{#if x}}\n{{foo y}}")
    assert (answer.status, answer.code) == (422, "template_invalid")
    assert [(fault["line"], fault["code"]) for fault in answer.json["errors"]] == [
        (2, "field_type"), (4, "unclosed_block"), (5, "unknown_helper"),
    ]  # fmt: skip
    assert answer.json["detail"].startswith("Line 2: ")
    assert kb.one("SELECT count(*) FROM templates") == 0
    path = made()
    assert save(path, "{{/if}}").code == "template_invalid"
    assert labels(path) == {"latest": 1, "production": 1}


def test_each_save_is_a_version_and_latest_follows(kb: KnowledgeBase) -> None:
    path = made()
    answer = save(path, "Hi {{name}}")
    assert (answer.status, answer.json["created"], answer.json["version"]["version"]) == (201, True, 2)
    assert labels(path) == {"latest": 2, "production": 1}
    assert call("GET", path).json["versions"] == 2
    again = save(path, "Hi {{name}}")
    assert (again.status, again.json["created"], again.json["version"]["version"]) == (200, False, 2)
    assert again.json["version"] == answer.json["version"]
    assert save(path, "Hello {{name}}").json["version"]["version"] == 3
    assert [data for type_, data in events(kb) if type_ == "template.version_saved"] == [
        {"name": "greet", "version": 2},
        {"name": "greet", "version": 3},
    ]


def test_versions_never_change(kb: KnowledgeBase) -> None:
    made()
    with pytest.raises(pg.DatabaseError, match="append-only"):
        kb.rows("UPDATE template_versions SET source = 'x'")


def test_a_version_is_read_by_number_and_by_label() -> None:
    path = made()
    save(path, "Hi {{name}}")
    for version, source in (("1", "Hello"), ("2", "Hi"), ("latest", "Hi"), ("production", "Hello")):
        assert call("GET", f"{path}/versions/{version}").json["source"].startswith(source)
    for version in ("3", "0", "canary", "999999999"):
        assert call("GET", f"{path}/versions/{version}").code == "not_found"
    for version in ("-1", "1.5", "A", "9999999999", "1a"):
        assert call("GET", f"{path}/versions/{version}").code == "invalid_request"


def test_versions_are_paged_newest_first() -> None:
    path = made()
    for n in range(2, 6):
        save(path, f"{n}")
    seen: list[int] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = call("GET", f"{path}/versions", query=query).json
        seen += [item["version"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [5, 4, 3, 2, 1]
    assert page["items"][0]["labels"] == ["production"]
    assert page["items"][0].keys() == {"version", "hash", "labels", "created_at"}
    beyond = call("GET", PATH, query={"limit": 1})
    made("other")
    foreign = call("GET", PATH, query={"limit": 1}).json["next_cursor"]
    assert beyond.json["next_cursor"] is None
    assert len(call("GET", f"{path}/versions", query={"cursor": foreign}).json["items"]) == 5


def test_saves_at_once_are_numbered_one_after_the_other(kb: KnowledgeBase) -> None:
    template_id = UUID(made().rsplit("/", 1)[1])

    def one(n: int) -> int:
        database = kb.connect("spandrel_app")
        try:
            return Templates(database).save_version(ADA, template_id, f"{n}").version.version
        finally:
            database.close()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(one, range(8))) == list(range(2, 10))


def test_under_a_key_work_is_done_once() -> None:
    header = {"Idempotency-Key": "k1"}
    body = {"name": "greet", "source": "Hello"}
    first, again = (call("POST", PATH, body=body, headers=header) for _ in range(2))
    assert first.json == again.json
    assert (first.status, again.status) == (201, 201)
    assert call("POST", PATH, body=body | {"source": "Hi"}, headers=header).code == "idempotency_key_reused"
    path = f"{PATH}/{first.json['template']['id']}/versions"
    header = {"Idempotency-Key": "k2"}
    saved = call("POST", path, body={"source": "Hi"}, headers=header)
    call("POST", path, body={"source": "Hey"})
    again = call("POST", path, body={"source": "Hi"}, headers=header)
    assert (again.status, again.json["version"]["version"]) == (201, 2)
    assert saved.json["version"]["source"] == again.json["version"]["source"]
    other = call(
        "POST", path.replace(first.json["template"]["id"], str(uuid4())), body={"source": "Hi"}, headers=header
    )
    assert other.code == "idempotency_key_reused"


# -- names, lists, descriptions


def test_a_name_is_taken_until_its_template_is_deleted() -> None:
    path = made()
    assert (create().status, create().code) == (409, "name_taken")
    made(kind="partial", source="x")
    made(user=BOB)
    assert call("DELETE", path).status == 204
    assert call("GET", path).code == "not_found"
    assert save(path, "x").code == "not_found"
    assert call("DELETE", path).code == "not_found"
    made()


@pytest.mark.parametrize("name", ["", " ", "-a", ".a", "a b", "ä", "a/b", "a\0", "a\n", "x" * 101])
def test_names_that_no_partial_could_be_called_by_are_refused(name: str) -> None:
    assert create(name).code == "invalid_request"


def test_the_list_is_newest_first_and_can_be_narrowed() -> None:
    made("mail.reply")
    made("mail.sum", visibility="shared")
    made("mail.foot", "x", kind="partial")
    made("plan")
    made("theirs", user=BOB, visibility="shared")
    made("hidden", user=BOB)
    assert names() == ["theirs", "plan", "mail.foot", "mail.sum", "mail.reply"]
    assert names(name_prefix="mail.") == ["mail.foot", "mail.sum", "mail.reply"]
    assert names(name_prefix="mail_") == []
    assert names(kind="partial") == ["mail.foot"]
    assert names(visibility="shared") == ["theirs", "mail.sum"]
    assert names(visibility="private", kind="prompt") == ["plan", "mail.reply"]
    page = call("GET", PATH, query={"limit": 3}).json
    assert names(limit=3, cursor=page["next_cursor"]) == ["mail.sum", "mail.reply"]


def test_what_is_left_out_of_an_update_stays(kb: KnowledgeBase) -> None:
    path = made(description="one")
    assert call("PATCH", path, body={"description": "two\nlines"}).json["description"] == "two\nlines"
    shared = call("PATCH", path, body={"visibility": "shared"}).json
    assert (shared["description"], shared["visibility"]) == ("two\nlines", "shared")
    assert call("PATCH", path, body={}).json == shared
    assert [data for type_, data in events(kb) if type_ == "template.updated"] == [
        {"name": "greet", "visibility": "private"},
        {"name": "greet", "visibility": "shared"},
    ]
    for body in ({"name": "x"}, {"visibility": "public"}, {"description": "a\0"}, {"description": "x" * 2001}):
        assert call("PATCH", path, body=body).code == "invalid_request"


# -- labels


def test_production_moves_only_when_told_and_back(kb: KnowledgeBase) -> None:
    path = made()
    save(path, "Hi {{name}}")
    moved = call("PUT", f"{path}/labels/production", body={"version": 2})
    assert moved.json["labels"] == {"latest": 2, "production": 2}
    assert call("PUT", f"{path}/labels/production", body={"version": 2}).json["labels"]["production"] == 2
    assert call("PUT", f"{path}/labels/production", body={"version": 1}).json["labels"]["production"] == 1
    assert [data for type_, data in events(kb) if type_ == "template.label_moved"] == [
        {"label": "production", "version": 2},
        {"label": "production", "version": 1},
    ]


def test_labels_of_one_s_own(kb: KnowledgeBase) -> None:
    path = made()
    assert call("PUT", f"{path}/labels/canary", body={"version": 1}).json["labels"]["canary"] == 1
    assert call("GET", f"{path}/versions/canary").json["labels"] == ["canary", "latest", "production"]
    assert call("DELETE", f"{path}/labels/canary").status == 204
    assert call("DELETE", f"{path}/labels/canary").code == "not_found"
    assert events(kb)[-1] == ("template.label_moved", {"label": "canary", "version": None})


def test_labels_that_cannot_be_set() -> None:
    path = made()
    assert call("PUT", f"{path}/labels/latest", body={"version": 1}).code == "conflict"
    assert call("DELETE", f"{path}/labels/latest").code == "conflict"
    assert call("DELETE", f"{path}/labels/production").code == "conflict"
    assert call("PUT", f"{path}/labels/canary", body={"version": 2}).code == "not_found"
    for label in ("Canary", "1", "-a", "a b", "x" * 51):
        assert call("PUT", f"{path}/labels/{label}", body={"version": 1}).code == "invalid_request"
    for version in (0, -1, 2**31, "x"):
        assert call("PUT", f"{path}/labels/canary", body={"version": version}).code == "invalid_request"


# -- differences


def test_a_diff_is_of_the_source_and_of_the_structure() -> None:
    head = (
        "---\nmodel: a\nconfig: {temperature: 0.1, top_p: 1}\nspandrel.capabilities: [mail.read]\ninput:\n  schema:\n"
    )
    path = made(source=head + "    name: string\n    old: string\n---\nHello {{name}} {{old}}")
    new = head.replace("0.1, top_p: 1", "0.9").replace("model: a\n", "").replace("mail.read", "notes, mail.read")
    save(path, new + "    extra?: string\n    name: integer\n---\nHello {{name}}")
    found = call("GET", f"{path}/diff", query={"from": "production", "to": "latest"}).json
    assert (found["before"], found["after"]) == (1, 2)
    lines = found["source"].splitlines()
    assert lines[:2] == ["--- version 1", "+++ version 2"]
    assert {"-Hello {{name}} {{old}}", "+Hello {{name}}", "-model: a"} <= set(lines)
    assert [(each["path"], each["kind"]) for each in found["structure"]] == [
        ("capabilities.notes", "added"),
        ("config.temperature", "changed"),
        ("config.top_p", "removed"),
        ("model", "removed"),
        ("variables.extra", "added"),
        ("variables.name.schema.type", "changed"),
        ("variables.name.type", "changed"),
        ("variables.old", "removed"),
    ]
    assert call("GET", f"{path}/diff", query={"from": 2}).json == {
        "before": 2, "after": 2, "source": "", "structure": [],
    }  # fmt: skip
    assert call("GET", f"{path}/diff", query={"from": 1, "to": 9}).code == "not_found"
    assert call("GET", f"{path}/diff").code == "invalid_request"


# -- partials


def test_partials_are_one_s_own_before_shared_ones_and_are_kept_as_they_were(kb: KnowledgeBase) -> None:
    made("foot", "Bob's", kind="partial", visibility="shared", user=BOB)
    path = made("letter", "{{> foot}}")
    assert prompt(kb, "letter") == "Bob's"
    foot = made("foot", "mine {{name}}", kind="partial")
    assert prompt(kb, "letter") == "Bob's"
    saved = save(path, "{{> foot}}").json
    assert saved["created"] is True  # the source is the same, but what it includes is not
    [use] = saved["version"]["structure"]["partials"]
    assert (use["name"], use["version"], f"{PATH}/{use['template_id']}") == ("foot", 1, foot)
    assert prompt(kb, "letter", "latest", name="Ada") == "mine Ada"
    assert save(path, "{{> foot}}").json["created"] is False


def test_a_partial_is_included_as_it_is_in_production(kb: KnowledgeBase) -> None:
    foot = made("foot", "one", kind="partial")
    save(foot, "two")
    path = made("letter", "{{> foot}}")
    assert prompt(kb, "letter") == "one"
    call("PUT", f"{foot}/labels/production", body={"version": 2})
    assert save(path, "{{> foot}}").json["created"] is True
    assert prompt(kb, "letter", "latest") == "two"
    call("DELETE", foot)
    assert save(path, "{{> foot}}").json["errors"][0]["code"] == "unknown_partial"
    assert prompt(kb, "letter", "latest") == "two"


def test_no_newcomer_takes_the_name_of_a_shared_partial_over(kb: KnowledgeBase) -> None:
    made("foot", "first", kind="partial", visibility="shared", user=BOB)
    made("foot", "second", kind="partial", visibility="shared", user="eve")
    made("letter", "{{> foot}}")
    assert prompt(kb, "letter") == "first"


def test_a_prompt_is_no_partial_and_a_partial_not_its_own() -> None:
    made("foot", "x")
    assert create("letter", "{{> foot}}").json["errors"][0]["code"] == "unknown_partial"
    answer = create("self", "{{> self}}", kind="partial")
    assert [fault["code"] for fault in answer.json["errors"]] == ["partial_cycle"]


def test_a_shared_template_carries_its_private_partials(kb: KnowledgeBase) -> None:
    made("foot", "private words", kind="partial")
    made("letter", "{{> foot}}", visibility="shared")
    assert prompt(kb, "letter", user=BOB) == "private words"


# -- sharing


def test_what_is_shared_can_be_read_and_not_changed(kb: KnowledgeBase) -> None:
    path = made(visibility="shared")
    theirs = call("GET", path, user=BOB).json
    assert (theirs["own"], theirs["labels"]) == (False, {"latest": 1, "production": 1})
    assert call("GET", f"{path}/versions/1", user=BOB).json["source"] == "Hello {{name}}"
    assert len(call("GET", f"{path}/versions", user=BOB).json["items"]) == 1
    assert call("GET", f"{path}/diff", query={"from": 1}, user=BOB).status == 200
    for answer in (
        save(path, "mine", user=BOB),
        call("PATCH", path, body={"description": "mine"}, user=BOB),
        call("PATCH", path, body={}, user=BOB),
        call("PUT", f"{path}/labels/production", body={"version": 1}, user=BOB),
        call("PUT", f"{path}/labels/mine", body={"version": 1}, user=BOB),
        call("DELETE", f"{path}/labels/mine", user=BOB),
        call("DELETE", path, user=BOB),
    ):
        assert (answer.status, answer.code) == (403, "read_only")
    assert events(kb, BOB) == []
    call("PATCH", path, body={"visibility": "private"})
    for place in (path, f"{path}/versions/1", f"{path}/versions"):
        assert call("GET", place, user=BOB).code == "not_found"


def test_the_database_itself_keeps_others_from_writing(kb: KnowledgeBase) -> None:
    template_id = UUID(made(visibility="shared").rsplit("/", 1)[1])
    version = b"""INSERT INTO template_versions (template_id, version, user_id, source, hash, structure, program)
                  VALUES (%s, 2, %s, 'x', '', '{}', '[]')"""
    for user, error in ((BOB, pg.ForeignKeyViolation), (ADA, pg.InsufficientPrivilege)):
        with pytest.raises(error), kb.app.transaction(BOB) as tx:
            tx.execute(version, [template_id, user])
    label = b"INSERT INTO template_labels (template_id, label, version, user_id) VALUES (%s, 'mine', 1, %s)"
    with pytest.raises(pg.ForeignKeyViolation), kb.app.transaction(BOB) as tx:
        tx.execute(label, [template_id, BOB])
    assert kb.app.run(b"UPDATE templates SET name = 'x' RETURNING id", user_id=BOB) == []
    assert kb.app.run(b"DELETE FROM template_labels RETURNING label", user_id=BOB) == []
    assert kb.app.run(b"SELECT id FROM template_details", user_id="eve") != []
    assert kb.app.run(b"SELECT id FROM template_details WHERE own", user_id="eve") == []


# -- checking without saving


def test_a_source_can_be_checked_without_saving(kb: KnowledgeBase) -> None:
    made("foot", "{{name}}", kind="partial")
    good = call("POST", "/v1/template-checks", body={"source": "{{> foot}}"}).json
    assert (good["valid"], good["errors"]) == (True, [])
    assert [variable["name"] for variable in good["structure"]["variables"]] == ["name"]
    bad = call("POST", "/v1/template-checks", body={"source": "a\n{{#if}}", "kind": "partial", "name": "foot"})
    assert bad.status == 200
    assert (bad.json["valid"], bad.json["structure"]) == (False, None)
    assert {(fault["line"], fault["code"]) for fault in bad.json["errors"]} == {(2, "arguments"), (2, "unclosed_block")}
    circle = {"source": "{{> foot}}", "kind": "partial", "name": "foot"}
    assert call("POST", "/v1/template-checks", body=circle).json["errors"][0]["code"] == "partial_cycle"
    assert kb.one("SELECT count(*) FROM templates") == 1


def test_sources_that_cannot_be_stored_are_told_where() -> None:
    for source in ("a\nb\0", "x" * 200_001):
        assert create(source=source).code == "template_invalid"
    assert call("POST", PATH, raw='{"name": "a", "source": "\\ud800"}').status in (400, 422)
    assert create(source="x" * 1_000_001).code == "invalid_request"
    assert create(source="x" * 200_000).status == 201


# -- what composing a prompt takes


def prompt(kb: KnowledgeBase, template: str, label: str = "production", user: str = ADA, **values: Any) -> str:
    compiled = Prepare(kb.app, lambda: kb.search).context(user, TemplateRef(name=template, label=label)).compiled
    messages = render(compiled.program, bind(compiled.structure, values).values, {})
    return "".join(message.text for message in messages)


def test_what_is_stored_renders(kb: KnowledgeBase) -> None:
    source = """---
input:
  schema:
    people(array):
      name: string
      age?: number
  default: {people: [{name: Ü, age: 1.5}]}
---
{{#each people as |p i|}}{{i}}{{p.name}}{{#if age}}{{age}}{{/if}}{{#unless @last}}, {{/unless}}{{/each}}"""
    made(source=source)
    assert prompt(kb, "greet") == "0Ü1.5"
    assert prompt(kb, "greet", people=[{"name": "a"}, {"name": "b"}]) == "0a, 1b"


def test_only_prompts_are_used_and_one_s_own_first(kb: KnowledgeBase) -> None:
    made("greet", "Bob's", user=BOB, visibility="shared")
    assert prompt(kb, "greet") == "Bob's"
    made("greet", "mine")
    assert prompt(kb, "greet") == "mine"
    made("foot", "x", kind="partial")
    for name, label in (("foot", "production"), ("nobody", "production"), ("greet", "canary")):
        with pytest.raises(NotFoundError):
            prompt(kb, name, label)
