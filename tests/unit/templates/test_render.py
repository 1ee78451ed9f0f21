from __future__ import annotations

import json
from typing import Any

import pytest

from spandrel.errors import PromptTooLargeError
from spandrel.templates.render import MOST_TEXT, Rendered, render, render_text
from tests.support.prompts import SYSTEM, parsed, rendered, text, with_variables


def test_roles_divide_the_body() -> None:
    source = 'first\n{{role "system"}}\nrules\n{{role "model"}}said\n{{history}}\n{{role "user"}}asked'
    assert rendered(source) == [
        Rendered("user", "first\n"),
        Rendered("system", "\nrules\n"),
        Rendered("assistant", "said\n"),
        Rendered("history", ""),
        Rendered("user", "asked"),
    ]


def test_what_follows_the_history_without_a_role_is_the_assistant_s() -> None:
    assert rendered("{{history}}well") == [Rendered("history", ""), Rendered("assistant", "well")]


def test_roles_without_text_are_no_messages() -> None:
    assert rendered('{{role "system"}} \n{{role "user"}}x{{role "model"}}') == [Rendered("user", "x")]
    assert rendered(" \n") == []
    assert rendered("") == []


@pytest.mark.parametrize(
    "value",
    [
        "{{name}}", "{{#if x}}", "{{/if}}", "{{> p}}", "<<<dotprompt:role:system>>>", "<<<dotprompt:history>>>",
        "<<<dotprompt:section a>>>", "<b>&", "\\{{x}}", "{{role \"system\"}}", "\n---\nmodel: m\n---\n",
    ],
)  # fmt: skip
def test_values_are_data(value: str) -> None:
    source = 'a{{role "user"}}{{v}}|{{json v}}|{{#each l}}{{this}}{{/each}}|{{> p}}'
    expected = f"{value}|{json.dumps(value, ensure_ascii=False)}|{value}|({value})"
    found = rendered(source, {"v": value, "l": [value]}, p="({{v}})")
    assert found == [Rendered("user", "a"), Rendered("user", expected)]


def test_system_variables_and_sections() -> None:
    source = "{{@date}} {{@locale}} {{@user.name}} {{@user.id}}|{{section \"facts\"}}|{{section 'more'}}|"
    program = parsed(source).program
    assert render(program, {}, SYSTEM | {"sections": {"facts": "F"}}) == [
        Rendered("user", "2026-11-24 de-CH Ada u1|F||")
    ]
    assert render(program, {}, {}) == [Rendered("user", "   |||")]


def test_a_text_without_roles() -> None:
    source = with_variables("", "topic: string").replace(
        "---\n", "---\nspandrel.knowledge: {query: 'on {{topic}}'}\n", 1
    )
    knowledge = parsed(source).structure.knowledge
    assert knowledge is not None
    assert render_text(knowledge.program, {"topic": "whales"}, SYSTEM) == "on whales"


def test_what_is_missing_is_nothing() -> None:
    body = "[{{a}}{{b.c}}{{#if a}}x{{/if}}{{#each a}}x{{/each}}{{#with a}}x{{/with}}{{json a}}]"
    assert render(parsed(body).program, {}, {}) == [Rendered("user", "[null]")]


def test_a_program_survives_json() -> None:
    found = parsed("{{#each l as |x i|}}{{i}}{{> p x y=1}}{{else}}-{{/each}}", p="{{z}}{{y}}")
    assert render(json.loads(json.dumps(found.program)), {"l": [{"z": "a"}]}, {}) == [Rendered("user", "0a1")]


def test_a_program_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="format 2"):
        render([2, 2, []], {}, {})


def test_places_in_lists() -> None:
    assert text("{{l.[1]}}{{l.[2]}}{{#with l}}{{[0]}}{{/with}}{{l.[99999999999]}}", {"l": ["a", "b"]}) == "ba"


@pytest.mark.parametrize(
    ("body", "values"),
    [
        ("{{v}}" * 40, {"v": "x" * 32_000}),
        ("{{#each l}}{{#each ../l}}{{#each ../../l}}{{/each}}{{/each}}{{/each}}", {"l": list(range(500))}),
        ("{{#each l}}{{../v}}{{/each}}", {"l": list(range(500)), "v": "x" * 3000}),
        ("{{#each l}}{{json ../v}}{{/each}}", {"l": list(range(500)), "v": "x" * 3000}),
        ("{{#each l}}{{../w}}{{/each}}", {"l": list(range(500)), "w": ["x" * 3000]}),
        ("{{#each l}}{{#each ../l}}{{#ifEquals ../../l ../../l}}{{/ifEquals}}{{/each}}{{/each}}", {"l": [0] * 100}),
        ("{{#each l}}{{#each ../l}}{{> p a=1}}{{/each}}{{/each}}", {"l": [0] * 100}),
        (f"{' ' * 2000}{{{{> lines}}}}", {"v": "\n" * 2000}),
    ],
)
def test_a_prompt_that_grows_without_measure_is_stopped(body: str, values: dict[str, Any]) -> None:
    schema = "\n".join(f"{name}: any" for name in ("l", "v", "w"))
    found = parsed(with_variables("." + "\n" + body, schema), p="", lines="{{v}}\n")
    with pytest.raises(PromptTooLargeError):
        render(found.program, values, {})


def test_a_large_prompt_is_none_that_grows_without_measure() -> None:
    found = parsed(with_variables("{{#each l}}{{this}}{{/each}}", "l: any"))
    [message] = render(found.program, {"l": ["x" * 10] * 9000}, {})
    assert len(message.text) == 90_000 < MOST_TEXT
