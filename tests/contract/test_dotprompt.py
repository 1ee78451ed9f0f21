"""Our renderer gives what Google's dotprompt library gives, for all of the language that we take.

The library's JSON differs in one point on purpose: it escapes what is not ASCII, which JavaScript, its own
reference, does not.
"""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import pytest
from dotpromptz._helpers import register_all_helpers
from dotpromptz._parse import identify_frontmatter, to_messages
from dotpromptz._picoschema import picoschema_to_json_schema
from dotpromptz_handlebars import EscapeFunction, Handlebars, HelperOptions
from hypothesis import example, given, settings, strategies as st

from spandrel.errors import TemplateInvalidError
from spandrel.templates.input_schema import InputSchema
from spandrel.templates.render import render
from tests.support.prompts import SYSTEM, parsed

VALUES: dict[str, Any] = {
    "name": "Ada",
    "empty": "",
    "html": "<b>&amp;\"'`=</b>",
    "lines": "one\ntwo\n\nthree\n",
    "braces": "{{name}} \\{{x}} {{#if}}",
    "ünï": "cödé 😀",
    "zero": 0,
    "count": 3,
    "negative": -2.5,
    "whole": 4.0,
    "big": 10**18,
    "yes": True,
    "no": False,
    "nothing": None,
    "words": ["a", "b", "c"],
    "none": [],
    "numbers": [0, 1, 2.5, None, True, "x"],
    "grid": [[1, 2], [3], []],
    "people": [{"name": "Bob", "tags": ["x", "y"], "age": 0}, {"name": "Cy", "tags": [], "role": "cook"}],
    "user": {"name": "Eve", "address": {"city": "Bern"}, "odd key": "o"},
    "bare": {},
}
PARTIALS = {
    "greeting": "Hello, {{name}}!",
    "block": "first {{name}}\nsecond\n",
    "spaced": "\n  a\n\n  b",
    "loop": "{{#each words}}\n- {{this}} {{@index}}\n{{/each}}\n",
    "outer": "[{{> greeting}}]\n  {{> block}}\n",
    "roles": '{{role "system"}}\nYou are {{name}}.\n{{role "user"}}\n',
    "index": "{{@index}}:{{@key}}/{{@root.name}}",
    "blank": "",
}
CORPUS = [
    "",
    " \n",
    "plain text\n",
    "{{name}}|{{{name}}}|{{&name}}|{{ name }}|{{{ html }}}|{{html}}|{{ünï}}",
    "{{braces}} {{lines}}|{{empty}}|{{nothing}}|{{absent}}",
    "{{zero}} {{count}} {{negative}} {{whole}} {{big}} {{yes}} {{no}} {{words}} {{numbers}} {{grid}}",
    "{{user.name}} {{user.address.city}} {{user.[odd key]}} {{words.[1]}} {{words.[9]}} {{user.nope.nope}} {{user/name}}",
    "\\{{name}} \\\\{{name}} \\\\\\{{name}} a\\{{ b }} {{name}}",
    "{{! comment }}a{{!-- long }} comment --}}b{{~!-- tilde --~}} c",
    "a {{~name~}} b {{~{name}~}} c  {{~#if yes~}}  x  {{~else~}}  y  {{~/if~}}  d",
    "{{#if name}}yes{{/if}}{{#if empty}}yes{{else}}no{{/if}}{{#if zero}}z{{else}}nz{{/if}}",
    "{{#if zero includeZero=true}}z{{else}}nz{{/if}}{{#if none}}l{{else}}nl{{/if}}{{#if bare}}o{{else}}no{{/if}}",
    "{{#if no}}1{{else if empty}}2{{else if words}}3{{else}}4{{/if}}{{#if no}}1{{else unless yes}}2{{else}}3{{/if}}",
    "{{#unless no}}a{{/unless}}{{#unless yes}}a{{else}}b{{/unless}}{{#unless nothing}}c{{/unless}}",
    "{{#each words}}{{this}}{{.}}{{@index}}{{@first}}{{@last}}{{@key}};{{/each}}",
    "{{#each people}}{{name}}{{../name}}{{age}}{{#each tags}}{{this}}{{../name}}{{../../name}}{{@index}}{{@../index}}{{/each}}{{/each}}",
    "{{#each user}}{{@key}}={{this}} {{/each}}{{#each none}}x{{else}}none{{/each}}{{#each name}}x{{else}}text{{/each}}",
    "{{#each people as |person i|}}{{i}}{{person.name}}{{name}}{{#each person.tags as |tag|}}{{tag}}{{i}}{{/each}}{{/each}}",
    "{{#each user as |value key|}}{{key}}:{{value}};{{/each}}{{#each words as |name|}}{{name}}{{./name}}{{../name}}{{/each}}",
    "{{#with user}}{{name}}{{address.city}}{{../name}}{{@root.name}}{{/with}}{{#with nothing}}x{{else}}none{{/with}}",
    "{{#with user as |u|}}{{u.name}}{{name}}{{/with}}{{#with zero}}z{{this}}{{/with}}{{#with bare}}b{{else}}nb{{/with}}",
    "{{#with none}}x{{else}}n{{/with}}{{#with no}}x{{else}}n{{/with}}{{#with empty}}x{{else}}n{{/with}}",
    "{{json user}}{{json words}}{{json name}}{{json nothing}}{{json absent}}{{json html}}{{json ünï}}{{json user indent=2}}",
    "{{#ifEquals name 'Ada'}}a{{else}}b{{/ifEquals}}{{#ifEquals count 3}}a{{/ifEquals}}{{#ifEquals yes true}}t{{/ifEquals}}",
    "{{#unlessEquals name user.name}}a{{else}}b{{/unlessEquals}}{{#ifEquals nothing absent}}n{{/ifEquals}}",
    '{{#ifEquals name "A\\"b"}}a{{else}}b{{/ifEquals}}{{#ifEquals negative -2.5}}n{{/ifEquals}}{{#ifEquals count "3"}}s{{/ifEquals}}',
    "{{@date}} {{@locale}} {{@user.name}} {{@user.id}} {{#each words}}{{@date}}{{@../date}}{{@user.name}}{{/each}}",
    "{{> greeting}} {{>greeting}} {{> greeting name='X'}} {{> greeting user}} {{> greeting user name=count}}",
    "a\n  {{> block}}\nb {{> block}}\n\t{{> spaced}}\nc",
    "  {{> loop}}\n    {{> outer}}\n  {{> blank}}\n{{> blank}}\n  {{> outer name='Z'}}",
    "{{#each people}}{{> greeting}}{{> greeting name=../name}}{{> index}}\n  {{> block}}\n{{/each}}",
    "{{#with user}}{{> greeting}}{{/with}}{{#each words}}{{> index}}{{/each}}{{#each words}}{{> greeting name=this}}{{/each}}",
    "line\n{{#if yes}}\n  in\n{{else}}\n  out\n{{/if}}\nend",
    "line\n  {{#each words}}\n  - {{this}}\n  {{/each}}\nend\n{{! gone }}\n\n{{!-- gone --}}  \nlast\r\n{{#if yes}}\r\nx\r\n{{/if}}\r\n",
    "{{#if yes}} {{name}}{{/if}} {{#if yes}}\n{{/if}}x\n {{#if yes}}  {{/if}} \n{{#if yes}}{{#if yes}}\na\n{{/if}}{{/if}}\n",
    '{{role "system"}}\nYou are {{name}}.\n{{role "user"}}\nHi\n',
    'before{{role "system"}}s{{role "model"}}m{{role "user"}} \n {{role "system"}}t',
    'a{{history}}b{{role "user"}}c',
    '{{role "system"}}s\n{{history}}\n{{role "user"}}{{lines}}',
    '{{history}}{{role "user"}}x{{role "user"}}y',
    '{{#if yes}}{{role "system"}}yes{{else}}{{role "user"}}no{{/if}} tail {{#each words}}{{role "user"}}{{this}}{{role "model"}}ok{{/each}}',
    "{{> roles}}now\n  {{> roles}}\nthen",
    '{{section "a"}}text{{section "b"}} more',
    "{{#each grid}}{{#each this}}{{this}}{{@last}}{{else}}-{{/each}}{{/each}}{{#each grid as |row r|}}{{#each row as |cell c|}}{{r}}{{c}}{{cell}}{{/each}}{{/each}}",
]
"""Everything that the language has, in the corners where implementations differ."""


def library(source: str, values: dict[str, Any], partials: dict[str, str] = PARTIALS) -> list[tuple[str, str]]:
    """Role and text of each message; sections are taken out, as ours render to nothing."""

    def dumps(arguments: list[Any], options: HelperOptions) -> str:
        indent = options.hash_value("indent") or None
        separators = (",", ":") if indent is None else None
        return json.dumps(arguments[0], ensure_ascii=False, indent=indent, separators=separators)

    handlebars = Handlebars(escape_fn=EscapeFunction.NO_ESCAPE)
    register_all_helpers(handlebars)
    handlebars.register_helper("json", dumps)
    for name, partial in partials.items():
        handlebars.register_partial(name, partial)
    found = identify_frontmatter(source)
    body = found.body.strip() if found.declared else source
    messages = to_messages(handlebars.compile(body)(values, data=SYSTEM))
    texts = [
        (str(message.role.value), "".join(part.text for part in message.content if hasattr(part, "text")))
        for message in messages
    ]
    return [(role, text) for role, text in texts if text]


def ours(source: str, values: dict[str, Any], partials: dict[str, str] = PARTIALS) -> list[tuple[str, str]]:
    messages = render(parsed(source, **partials).program, values, SYSTEM)
    spoken = [(message.role, message.text) for message in messages if message.role != "history"]
    return [("model" if role == "assistant" else role, text) for role, text in spoken]


@pytest.mark.parametrize("source", CORPUS)
def test_the_corpus_renders_alike(source: str) -> None:
    assert ours(source, VALUES) == library(source, VALUES)


@pytest.mark.parametrize("source", CORPUS)
def test_the_corpus_renders_alike_with_nothing_given(source: str) -> None:
    assert ours(source, {}) == library(source, {})


@pytest.mark.parametrize(
    "head", ["---\nmodel: m\n---\n", "# licence\n\n---\n---  \n", "\n---\r\nmodel: m\r\n---\r\n", "text\n---\n"]
)
def test_front_matter_ends_where_the_library_ends_it(head: str) -> None:
    source = f"{head}\n  {{{{name}}}}\n \n"
    assert ours(source, VALUES) == library(source, VALUES)


# -- by hypothesis: bodies put together from the language, and values of every shape

NAMES = st.sampled_from(["a", "b", "c", "d.e", "d.[0]", "this", "../a", "@index", "@root.b", "@date", "a.b.c"])
SPACE = st.sampled_from(["", " ", "\n", "  \n", "\n  ", "x", "y \n", "\t", "\r\n", "\\", "ü😀", "}", "{ "])
TILDE = st.sampled_from(["", "", "", "~"])


@st.composite
def tags(draw: st.DrawFn) -> str:
    left, right, name = draw(TILDE), draw(TILDE), draw(NAMES)
    inside = draw(st.sampled_from([name, f"json {name}", "! note", "!-- note --", "> p1", "> p2 x=1", "> p3"]))
    return f"{{{{{left}{inside}{right}}}}}"


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    @st.composite
    def block(draw: st.DrawFn) -> str:
        kind, name, other = draw(st.sampled_from(KINDS)), draw(NAMES), draw(NAMES)
        tilde = [draw(TILDE) for _ in range(6)]
        middle = draw(st.sampled_from(["", f"{{{{{tilde[2]}else{tilde[3]}}}}}", f"{{{{else if {other}}}}}"]))
        body, rest = draw(inner), draw(inner) if middle else ""
        opening = f"{{{{{tilde[0]}#{kind.replace('NAME', name).replace('OTHER', other)}{tilde[1]}}}}}"
        return f"{opening}{body}{middle}{rest}{{{{{tilde[4]}/{kind.split()[0]}{tilde[5]}}}}}"

    return block()


KINDS = [
    "if NAME", "if NAME includeZero=true", "unless NAME", "each NAME", "each NAME as |a b|", "with NAME",
    "with NAME as |c|", "ifEquals NAME OTHER", "unlessEquals NAME 1",
]  # fmt: skip
BODIES = st.recursive(
    st.one_of(SPACE, tags()),
    lambda inner: st.one_of(blocks(inner), st.lists(inner, max_size=4).map("".join)),
    max_leaves=14,
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.0, 2.5]),
    st.sampled_from(["", "a", "x\ny\n", "{{a}}"]),
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abcde"), inner, max_size=3)),
    max_leaves=8,
)
P = {"p1": "[{{a}}]\n", "p2": "{{x}}{{#each c}}\n {{this}}{{@index}}\n{{/each}}", "p3": "\n{{> p1}}\n  {{> p1 a=2}}\n"}


@settings(max_examples=400, deadline=None)
@given(BODIES, st.dictionaries(st.sampled_from("abcd"), ANY))
@example("{{#if a}} {{b}}{{/if}}", {"a": 1, "b": 2})
def test_whatever_parses_renders_alike(body: str, values: dict[str, Any]) -> None:
    try:
        found = ours(body, values, P)
    except TemplateInvalidError as error:
        # Names that lead nowhere are nothing to the library. Nothing else is refused, unless an escape took a block
        # apart.
        codes = {fault["code"] for fault in error.members["errors"]}
        assert codes <= {"undeclared", "unknown_system_variable", "not_printable"} or "\\{{" in body
    else:
        assert found == library(body, values, P)


# -- Picoschema

SCHEMAS: list[Any] = [
    {"name": "string"},
    {"name": "string, whose it is", "age?": "integer, in years", "free": "any", "noted": "any, of any kind"},
    {"flag?": "boolean", "gone": "null", "size": "number"},
    {"kind(enum, of what)": ["a", "b"], "mood?(enum)": ["good", "bad"], "one?(enum)": [1, None]},
    {"tags(array, words)": "string", "more?(array)": {"a": "string", "b?": "integer"}},
    {"who": {"name": "string", "at?": {"city": "string"}}, "at?(object, where)": {"city": "string, of what"}},
    {"open(object)": {"(*)": "any"}, "typed(object)": {"a": "string", "(*)": "number"}},
    {"type": "object", "properties": {"a": {"type": "string", "minLength": 2}}, "required": ["a"]},
    {"properties": {"a": {"enum": [1, 2]}}},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_picoschema_means_the_same(schema: Any) -> None:
    def refuse(where: Any, code: str, message: str) -> None:
        raise AssertionError((where, message))

    theirs = asyncio.run(picoschema_to_json_schema(copy.deepcopy(schema)))
    assert theirs is not None
    mine = InputSchema(refuse).read(schema, ())
    assert mine is not None
    assert mine == theirs
