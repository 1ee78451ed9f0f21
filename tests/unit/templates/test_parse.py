from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given, strategies as st
from msgspec import UNSET

from spandrel.errors import TemplateInvalidError
from spandrel.templates.faults import MOST
from spandrel.templates.models import PartialUse, Structure, Variable
from spandrel.templates.parse import MOST_BYTES
from tests.support.prompts import faults, parsed, text, told, with_variables

WHOLE = """---
name: weekly
model: gpt-5-mini
description: Plans a week.
config:
  temperature: 0.2
  stop: ["\\n\\n"]
input:
  schema:
    name: string, whose week it is
    days?(array): string
    tone?(enum, how): [warm, cool]
  default:
    tone: warm
tools: [calendar.list, notes]
other.field: {anything: 1}
spandrel.capabilities: [calendar.read, notes]
spandrel.auto_execute: true
spandrel.confidence_threshold: 0.9
spandrel.knowledge:
  query: "week of {{name}}"
  collections: [plans]
  top_k: 3
  mode: text
  score_threshold: 0.5
---
{{role "system"}}
You plan. {{section "facts"}}
{{history}}
{{role "user"}}
{{> greeting}} {{#each days}}{{this}}{{/each}} {{tone}}
"""


def test_a_source_s_structure() -> None:
    found = parsed(WHOLE, greeting="Hello {{name}}").structure
    assert (found.model, found.description, found.tools) == ("gpt-5-mini", "Plans a week.", ["calendar.list", "notes"])
    assert found.config == {"temperature": 0.2, "stop": ["\n\n"]}
    assert found.variables == [
        Variable(
            name="name",
            type="string",
            required=True,
            description="whose week it is",
            schema={"type": "string", "description": "whose week it is"},
        ),
        Variable(
            name="days", type="array", required=False, schema={"type": ["array", "null"], "items": {"type": "string"}}
        ),
        Variable(
            name="tone",
            type="string",
            required=False,
            default="warm",
            description="how",
            schema={"enum": ["warm", "cool", None], "description": "how"},
        ),
    ]
    assert found.capabilities == ["calendar.read", "notes"]
    assert (found.auto_execute, found.confidence_threshold) == (True, 0.9)
    assert (found.sections, found.roles) == (["facts"], ["system", "history", "user"])
    [use] = found.partials
    assert (use.name, use.template_id, use.version) == ("greeting", UUID(int=1), 1)
    assert found.knowledge is not None
    assert (found.knowledge.query, found.knowledge.collections) == ("week of {{name}}", ["plans"])
    assert (found.knowledge.top_k, found.knowledge.mode, found.knowledge.score_threshold) == (3, "text", 0.5)


def test_a_structure_survives_json() -> None:
    found = parsed(WHOLE, greeting="Hello {{name}}").structure
    assert msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(found))), Structure) == found


def test_what_is_left_out_has_its_default() -> None:
    found = parsed("").structure
    assert found == Structure(config={}, variables=[], capabilities=[], tools=[], partials=[], sections=[], roles=[])
    assert (found.auto_execute, found.confidence_threshold, found.knowledge) == (False, 0.8, None)
    knowledge = parsed("---\nspandrel.knowledge: {query: q}\n---\n").structure.knowledge
    assert knowledge is not None
    assert (knowledge.collections, knowledge.top_k, knowledge.mode, knowledge.score_threshold) == (
        [],
        5,
        "hybrid",
        None,
    )
    assert parsed("---\n---\n").structure == parsed("---\nmodel:\nconfig:\n---\n").structure == found


@pytest.mark.parametrize(
    ("body", "roles"),
    [
        ("x", ["user"]),
        ("{{x}}", ["user"]),
        (' \n{{role "system"}}x', ["system"]),
        ('x{{role "model"}}y{{role "model"}}', ["user", "assistant"]),
        ("{{history}}", ["history"]),
        ("{{#if x}}{{> p}}{{/if}}", ["system"]),
    ],
)
def test_the_roles_of_a_body(body: str, roles: list[str]) -> None:
    assert parsed(body, p='{{role "system"}}').structure.roles == roles


def test_without_a_schema_variables_are_what_the_body_uses() -> None:
    body = (
        "{{name}}{{#if note}}{{note}}{{/if}}{{#each words}}{{this}}{{/each}}{{user.email}}{{json data}}{{#unless off}}"
        "{{/unless}}{{#ifEquals kind 'a'}}{{/ifEquals}}{{count}}{{list.[0]}}{{> p text=passed}}{{@root.top}}"
    )
    source = f"---\ninput: {{default: {{count: 5, spare: [1]}}}}\n---\n{body}"
    found = parsed(source, p="{{text}}{{inner}}").structure.variables
    assert [(variable.name, variable.type, variable.required, variable.default) for variable in found] == [
        ("name", "string", True, UNSET),
        ("note", "string", False, UNSET),
        ("words", "array", True, UNSET),
        ("user", "object", True, UNSET),
        ("data", "any", True, UNSET),
        ("off", "any", False, UNSET),
        ("kind", "any", True, UNSET),
        ("count", "any", False, 5),
        ("list", "any", True, UNSET),
        ("passed", "any", True, UNSET),
        ("inner", "string", True, UNSET),
        ("top", "string", True, UNSET),
        ("spare", "any", False, [1]),
    ]


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("model: 5", "field_type"),
        ("model: [a]", "field_type"),
        ("description: {}", "field_type"),
        ("config: fast", "field_type"),
        ("tools: calendar", "field_type"),
        ("tools: [{name: x}]", "field_type"),
        ("tools: ['no spaces']", "field_type"),
        ("name: [a]", "field_type"),
        ("input: x", "field_type"),
        ("input: {schemas: {}}", "unknown_field"),
        ("input: {default: 1}", "field_type"),
        ("input: {schema: {a: string}, default: {b: 1}}", "undeclared"),
        ("input: {schema: {a: string}, default: {a: 1}}", "default"),
        ("output: {format: json}", "unsupported"),
        ("toolDefs: []", "unsupported"),
        ("temperature: 1", "unknown_field"),
        ("spandrel: {auto_execute: true}", "unknown_field"),
        ("spandrel.autoexecute: true", "unknown_field"),
        ("spandrel.capabilities: calendar.read", "field_type"),
        ("spandrel.capabilities: ['Calendar Read']", "field_type"),
        ("spandrel.auto_execute: 1", "field_type"),
        ("spandrel.confidence_threshold: 1.5", "field_type"),
        ("spandrel.confidence_threshold: true", "field_type"),
        ("spandrel.knowledge: q", "field_type"),
        ("spandrel.knowledge: {}", "field_type"),
        ("spandrel.knowledge: {query: ''}", "field_type"),
        ("spandrel.knowledge: {query: q, top_k: 21}", "field_type"),
        ("spandrel.knowledge: {query: q, mode: magic}", "field_type"),
        ("spandrel.knowledge: {query: q, collections: [1]}", "field_type"),
        ("spandrel.knowledge: {query: q, k: 1}", "field_type"),
        ("spandrel.knowledge: {query: '{{#if x}}'}", "unclosed_block"),
        ("spandrel.knowledge: {query: '{{role \"user\"}}'}", "unsupported"),
        ("a: 1\n  b: 2", "yaml"),
        ("model: [", "yaml"),
        ("model: a\nmodel: b", "yaml"),
        ("1: a", "yaml"),
        ("config: {? [a] : b}", "yaml"),
        ("config: {a: &a 1, b: *a}", "yaml"),
        ("config: {a: !!python/name:os.system x}", "yaml"),
        ("config: {a: !x y}", "yaml"),
        ("config: " + "[" * 30 + "]" * 30, "yaml"),
        ("config: {a: 1e999}", "yaml"),
        ("config: {a: 12345678901234567890}", "yaml"),
        ('config: {a: "\\ud800"}', "characters"),
        ('config: {a: "\\UFFFFFFFF"}', "yaml"),
        ("config: {a: \x01}", "yaml"),
        ("--- x\nmodel: a", "yaml"),
        ("model: a\n--- x", "yaml"),
        ("- a", "field_type"),
        ("config: " + "x" * 64_000, "too_large"),
    ],
)
def test_front_matter_that_is_at_fault(field: str, code: str) -> None:
    found = faults(f"---\n# comment\n{field}\n---\nbody")
    assert code in {each for _, each in found}, found
    assert all(2 <= line <= 5 for line, _ in found), found


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        ("[a]", 3),
        ("string", 3),
        ("MySchema", 3),
        ("{type: string}", 3),
        ("{type: array, items: {}}", 3),
        ("5", 3),
        ("{a: text}", 3),
        ("{a: 5}", 3),
        ("{a(list): string}", 3),
        ("{a(enum): string}", 3),
        ("{a(enum): []}", 3),
        ("{a(enum): [[1]]}", 3),
        ("{(*): any}", 3),
        ("{a((: string}", 3),
        ("{a(array): [x]}", 3),
        ("{a(object): [x]}", 3),
        ("{type: object, properties: {a: 5}}", 3),
        ("{type: object, properties: [a]}", 3),
        ("{properties: {a: {type: text}}}", 3),
        ("{properties: {a: {type: []}}}", 3),
        ("{properties: {a: {$ref: x}}}", 3),
        ("{properties: {a: {anyOf: []}}}", 3),
        ("{properties: {a: {pattern: '('}}}", 3),
        ("{properties: {a: {minLength: -1}}}", 3),
        ("{properties: {a: {minLength: true}}}", 3),
        ("{properties: {a: {minimum: x}}}", 3),
        ("{properties: {a: {multipleOf: 0}}}", 3),
        ("{properties: {a: {const: []}}}", 3),
        ("{properties: {a: {uniqueItems: 1}}}", 3),
        ("{properties: {a: {}}, required: a}", 3),
        ("{properties: {a: {}}, additionalProperties: true}", 3),
        ("{properties: {}, additionalProperties: {}}", 3),
        ("\n    a: string\n    b: text", 5),
        ("\n    a:\n      b(array):\n        c: nope", 6),
        ("{properties: {" + ", ".join(f"a{n}: {{}}" for n in range(501)) + "}}", 3),
        ("{" + ", ".join(f"a{n}: string" for n in range(501)) + "}", 3),
    ],
)
def test_schemas_that_are_at_fault(schema: str, line: int) -> None:
    found = faults(f"---\ninput:\n  schema: {schema}\n---\n{{{{nobody}}}}")
    assert (line, "schema") in found


def test_a_schema_that_says_all_that_can_be_said() -> None:
    schema = (
        "{$schema: x, title: t, type: object, additionalProperties: false, required: [a], properties: {a: true, "
        "b: {type: [string, 'null'], format: email, examples: [], enum: [x, null], const: x}, "
        "c: {type: array, items: true, minItems: 1, maxItems: 2, uniqueItems: true}, "
        "d: {type: object, properties: {}, additionalProperties: {type: number, minimum: 0, maximum: 1, "
        "exclusiveMinimum: 0, exclusiveMaximum: 2, multipleOf: 2}}, e: {minLength: 1, maxLength: 2, pattern: a}}}"
    )
    found = parsed(f"---\ninput: {{schema: {schema}}}\n---\n").structure.variables
    assert [(each.name, each.type, each.required) for each in found] == [
        ("a", "any", True), ("b", "string", False), ("c", "array", False), ("d", "object", False), ("e", "any", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{{", "unclosed_tag"),
        ("{{{a}}", "unclosed_tag"),
        ("{{!-- a }}", "unclosed_tag"),
        ("{{#if a}}", "unclosed_block"),
        ("{{/if}}", "mismatched_block"),
        ("{{#if a}}{{/each}}{{/if}}", "mismatched_block"),
        ("{{else}}", "mismatched_block"),
        ("{{#if a}}{{else}}{{else}}{{/if}}", "mismatched_block"),
        ("{{#if a}}{{#each a}}{{/if}}", "unclosed_block"),
        ("{{foo a}}", "unknown_helper"),
        ("{{#foo}}{{/foo}}", "unknown_helper"),
        ("{{lookup a b}}", "unknown_helper"),
        ("{{media url=a}}", "unknown_helper"),
        ("{{if a}}", "unknown_helper"),
        ("{{a as |b|}}", "unknown_helper"),
        ("{{json (lookup a b)}}", "unsupported"),
        ("{{* a}}", "unsupported"),
        ("{{#*inline 'a'}}{{/inline}}", "unsupported"),
        ("{{#> a}}{{/a}}", "unsupported"),
        ("{{^}}", "unsupported"),
        ("{{^a}}{{/a}}", "unsupported"),
        ("{{{{raw}}}} {{x}} {{{{/raw}}}}", "unsupported"),
        ("{{{{raw", "unsupported"),
        ("<<<dotprompt:history>>>", "unsupported"),
        ("{{#if a}}{{else each b}}{{/if}}", "unsupported"),
        ("{{}}", "syntax"),
        ("{{#}}{{/}}", "syntax"),
        ("{{>}}", "syntax"),
        ("{{> (a)}}", "syntax"),
        ("{{a b=}}", "syntax"),
        ("{{a b= c}}", "syntax"),
        ("{{a=b}}", "syntax"),
        ("{{'a}}", "syntax"),
        ("{{'a'}}", "syntax"),
        ("{{5}}", "syntax"),
        ("{{true}}", "syntax"),
        ("{{a.1}}", "syntax"),
        ("{{a..b}}", "syntax"),
        ("{{a.../b}}", "syntax"),
        ("{{@}}", "syntax"),
        ("{{[a}}", "syntax"),
        ('{{a"b"}}', "syntax"),
        ("{{a!}}", "syntax"),
        ("{{#each a as |b|  c}}{{/each}}", "syntax"),
        ("{{json 1234567890123456789}}", "syntax"),
        ("{{#if}}{{/if}}", "arguments"),
        ("{{#if a b}}{{/if}}", "arguments"),
        ("{{#if a as |b|}}{{/if}}", "arguments"),
        ("{{#if a x=1}}{{/if}}", "arguments"),
        ("{{#each a as |b c d|}}{{/each}}", "arguments"),
        ("{{#each a as ||}}{{/each}}", "arguments"),
        ("{{#ifEquals a}}{{/ifEquals}}", "arguments"),
        ("{{json}}", "arguments"),
        ("{{json a b}}", "arguments"),
        ("{{json a indent=x}}", "arguments"),
        ("{{json a indent=99}}", "arguments"),
        ("{{role}}", "arguments"),
        ("{{role 'user' x=1}}", "arguments"),
        ("{{history 1}}", "arguments"),
        ("{{section}}", "arguments"),
        ("{{section 'a b'}}", "arguments"),
        ("{{section a}}", "arguments"),
        ("{{role a}}", "unknown_role"),
        ("{{role 'assistant'}}", "unknown_role"),
        ("{{role 'tool'}}", "unknown_role"),
        ("{{> p a b}}", "arguments"),
        ("{{> p as |x|}}", "arguments"),
        ("{{> nobody}}", "unknown_partial"),
        ("{{../a}}", "undeclared"),
        ("{{#each a}}{{../../b}}{{/each}}", "undeclared"),
        ("{{> up}}", "undeclared"),
        ("{{@nobody}}", "unknown_system_variable"),
        ("{{@index}}", "unknown_system_variable"),
        ("{{@../date}}", "unknown_system_variable"),
        ("{{@user.age}}", "unknown_system_variable"),
        ("{{#each a}}{{@index.x}}{{/each}}", "unknown_system_variable"),
        ("{{@user}}", "not_printable"),
        ("{{this}}", "not_printable"),
        ("{{@root}}", "not_printable"),
        ("{{#if a}}" * 51, "too_deep"),
        ("{{#if a}}" + "{{else if a}}" * 60 + "{{/if}}", "too_deep"),
        ("{{x}}" * 50_001, "too_large"),
        ("\0", "characters"),
        ("\ud800", "characters"),
        ("x" * (MOST_BYTES + 1), "too_large"),
        ("ü" * (MOST_BYTES // 2 + 1), "too_large"),
    ],
)
def test_bodies_that_are_at_fault(body: str, code: str) -> None:
    if len(body) < MOST_BYTES // 2:
        body = f"line 1\n{body}"
    found = faults(body, p="", up="{{../x}}")
    assert code in {each for _, each in found}, found
    assert {line for line, _ in found} == {2 if body.startswith("line") else 1}


SCHEMA = """name: string
items(array):
  title: string
  tags(array): string
user:
  email: string
  more(object):
    (*): {a: integer}
free: any
open(object):
  x: string
  (*): any"""


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ("{{name}} {{free.x.y}} {{open.z}} {{user.more.k.a}} {{items.[0].title}}", None),
        ("{{#each items}}{{title}}{{../name}}{{#each tags}}{{this}}{{/each}}{{/each}}", None),
        ("{{#each items as |it|}}{{it.title}}{{#each it.tags as |t|}}{{t}}{{it.title}}{{/each}}{{/each}}", None),
        ("{{#with user}}{{email}}{{@root.name}}{{/with}}{{#each free}}{{anything}}{{/each}}", None),
        ("{{> shown}}{{> shown user name='x'}}{{> passed item=items.[0]}}", None),
        ("{{#each user}}{{anything}}{{/each}}", None),
        ("{{nam}}", '"nam"'),
        ("{{user.mail}}", '"mail"'),
        ("{{name.x}}", 'string has no "x"'),
        ("{{items.[0].titel}}", '"titel"'),
        ("{{user.more.k.b}}", '"b"'),
        ("{{#each items}}{{name}}{{/each}}", '"name"'),
        ("{{#each items}}{{../title}}{{/each}}", '"title"'),
        ("{{#each items as |it|}}{{it.x}}{{/each}}", '"x"'),
        ("{{#with user}}{{name}}{{/with}}", '"name"'),
        ("{{@root.nam}}", '"nam"'),
        ("{{#if nam}}{{/if}}", '"nam"'),
        ("{{json nam}}", '"nam"'),
        ("{{> shown user}}", 'In the partial "shown": "name"'),
        ("{{> passed item=user}}", 'In the partial "passed": "item.title"'),
        ("{{#each items}}{{> shown}}{{/each}}", 'In the partial "shown": "name"'),
        ("{{user}}", '"user" is an object'),
        ("{{#each items}}{{this}}{{/each}}", '"this" is an object'),
    ],
)
def test_names_are_held_to_the_schema(body: str, wrong: str | None) -> None:
    found = told(with_variables(body, SCHEMA), shown="{{name}}", passed="{{item.title}}")
    if wrong is None:
        assert found == []
    else:
        assert [fault["code"] for fault in found] in (["undeclared"], ["not_printable"])
        assert wrong in found[0]["message"]


def test_a_query_s_names_are_held_to_the_schema() -> None:
    source = "---\ninput: {schema: {a: string}}\nspandrel.knowledge:\n  top_k: 1\n  query: about {{b}}\n---\n"
    assert faults(source) == [(5, "undeclared")]


def test_every_fault_is_told_with_its_place() -> None:
    source = (
        "---\nmodel: 5\nspandrel.x: 1\ninput:\n  schema: {a: string}\n---\n\n{{b}}\n  {{#if a}}\r\n{{/each}} {{> p}}\n"
    )
    assert [(each["line"], each["column"], each["code"]) for each in told(source)] == [
        (2, 1, "field_type"), (3, 1, "unknown_field"), (8, 1, "undeclared"), (9, 3, "unclosed_block"),
        (10, 1, "mismatched_block"), (10, 11, "unknown_partial"),
    ]  # fmt: skip
    with pytest.raises(TemplateInvalidError, match=r"^Line 2: .* There are 5 more faults\.$"):
        parsed(source)
    assert len(told("{{../a}}" * 500)) == MOST


def test_a_front_matter_that_is_never_closed() -> None:
    assert faults("\n---\nmodel: a\n") == [(2, "yaml")]


def test_words_are_read_as_yaml_1_2_reads_them() -> None:
    config = parsed(
        "---\nconfig: {a: no, b: 2026-11-24, c: 010, d: 1_000, e: .5, f: ~, g: 'true', h: true, i: 1e3, j: on}\n---\n"
    ).structure.config
    assert config == {
        "a": "no", "b": "2026-11-24", "c": 10, "d": "1_000", "e": 0.5, "f": None, "g": "true", "h": True, "i": 1000.0,
        "j": "on",
    }  # fmt: skip


# -- partials


def test_partials_are_inlined_with_all_that_they_include() -> None:
    found = parsed("{{> a}}{{> b x=1}}", a="---\ndescription: own\n---\nA{{> b}}", b="({{x}})")
    assert [use.name for use in found.structure.partials] == ["a", "b"]
    assert all(isinstance(use, PartialUse) for use in found.structure.partials)
    assert text("{{> a}}{{> b x=1}}", {"x": "0"}, a="---\ndescription: own\n---\nA{{> b}}", b="({{x}})") == "A(0)(1)"


def test_a_partial_s_own_faults_stand_where_it_is_included() -> None:
    [fault] = told("a\n {{> p}}", p="x\n{{#if}}{{/if}}")
    assert (fault["line"], fault["column"], fault["code"]) == (2, 2, "arguments")
    assert fault["message"].startswith('In the partial "p": ')


def test_partials_in_a_circle() -> None:
    assert faults("{{> a}}", a="{{> b}}", b="{{> a}}") == [(1, "partial_cycle")]
    assert faults("{{> a}}", a="{{> a}}") == [(1, "partial_cycle")]
    assert faults("{{> b}}", itself="a", b="{{> a}}", a="old") == [(1, "partial_cycle")]
    assert faults("{{> b}}", b="{{> a}}", a="old") == []


def test_partials_may_be_eight_deep() -> None:
    chain = {f"p{n}": f"{{{{> p{n + 1}}}}}" for n in range(8)}
    assert faults("{{> p1}}", **chain, p8="end") == []
    assert faults("{{> p0}}", **chain, p8="end") == [(1, "partial_depth")]


def test_partials_that_multiply_are_stopped() -> None:
    chain = {f"p{n}": f"{{{{> p{n + 1}}}}}" * 20 for n in range(7)}
    assert {code for _, code in faults("{{> p0}}", **chain, p7="x")} == {"too_large"}
    assert {code for _, code in faults("{{> p0}}" * 1000, p0="{{!x}}" * 1000)} == {"too_large"}
    assert {code for _, code in faults("{{> p0}}" * 20, p0="x" * 100_000)} == {"too_large"}
    many = {f"p{n}": "" for n in range(60)}
    assert {code for _, code in faults("".join(f"{{{{> {name}}}}}" for name in many), **many)} == {"unknown_partial"}


def test_the_hash_is_of_source_and_partials() -> None:
    def digest(source: str, **sources: str) -> bytes:
        return parsed(source, **sources).hash

    assert digest("a") == digest("a") != digest("b")
    assert digest("{{> p}}", p="1") == digest("{{> p}}", p="1", q="2") != digest("{{> p}}", p="2")


# -- whatever comes

FRAGMENTS = st.sampled_from(
    [
        "---\n",
        "\n",
        "{{",
        "}}",
        "{{{",
        "}}}",
        "#if ",
        "/if",
        "else",
        "#each ",
        "> p",
        "a",
        ".",
        "..",
        "/",
        "@index",
        "'",
        '"',
        "|",
        " as ",
        "=",
        "(",
        ")",
        "~",
        "!--",
        "--",
        "\\",
        "[",
        "]",
        "role ",
        "input:\n",
        "  schema:\n",
        "    a: string\n",
        "spandrel.knowledge: ",
        "{query: q}",
        "config: ",
        "- ",
        ": ",
        "&a ",
        "*a",
        "!",
        "%YAML 1.2",
        "<<<dotprompt:",
        "\0",
        "\t",
        "ü",
        "0",
        "(*)",
        "?",
        "(enum)",
        "type: object\n",
        "\r",
    ]
)


@given(
    st.one_of(
        st.text(),
        st.lists(FRAGMENTS, max_size=40).map("".join),
        st.lists(FRAGMENTS).map(lambda parts: "---\n" + "".join(parts)),
    )
)
@example("---\n\x85\n---\n")
@example("---\n\ufeffa: 1\n---\n")
def test_any_text_parses_or_is_refused(source: str) -> None:
    for fault in told(source, p="{{> p}}"):
        assert fault["line"] >= 1
        assert fault["column"] >= 1


@pytest.mark.parametrize(
    "source",
    [
        "{{#if a}}" * 20_000,
        "{{/if}}" * 25_000,
        "\\{{" * 60_000,
        "{{a}}" * 39_000,
        "{{{a}}}" * 25_000,
        "{{!---}}" * 20_000,
        "{" * 190_000,
        "}" * 190_000,
        "{{" + "a." * 90_000 + "}}",
        "{{a " + "b=1 " * 40_000 + "}}",
        "{{> p}}" * 25_000,
        "{{" + "../" * 60_000 + "a}}",
        "\n" * 190_000,
        "{{#if a}}\n" * 40 + "  {{! x}}\n" * 15_000,
        "{{'" + '\\"' * 90_000,
        "---\n" * 40_000,
        "---\n" + "a: [" * 15_000,
        "---\n" + "[" * 60_000,
        "---\n" + "- " * 30_000,
        "---\n" + "? " * 30_000,
        "---\nconfig:\n" + "  a: 1\n" * 7_000 + "---\n",
        '---\nconfig: "' + "\\n" * 30_000 + '"\n---\n',
        "---\ninput: {schema: {" + "a: string, " * 5_000 + "}}\n---\n",
        "\\" * 190_000 + "{{a}}",
        "{{~}} " * 30_000,
        "# \n" * 60_000,
        "{{#each a as |" + "b " * 90_000 + "|}}{{/each}}",
        '{{"' * 60_000,
        "{{[" * 60_000 + "}}",
    ],
    ids=lambda source: source[:12].encode("unicode_escape").decode(),
)
def test_large_and_hostile_sources_are_read_in_one_go(source: str) -> None:
    """That each of these ends is the test; those that were quadratic did not within minutes."""
    found: list[dict[str, Any]] = told(source, p="x")
    assert len(found) <= MOST
