"""A prompt of 20 variables and 3.6 kB: ours beside LangChain's ChatPromptTemplate and jinja2's sandbox, in one process.

    python -m benchmarks.prompts [rounds]

Rounds take turns; medians are printed. Each makes a system and a user message of the same text. Ours also checks every
value against its schema (`bind`); `first` is what a template costs before it renders: parse, or compile.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "layers" / "shared"))

VARIABLES = 20
BYTES = 3_600
BATCH = 50
_WORDS = (
    "You look after the calendar, the notes and the mail of one person, and nothing is sent before it was agreed to. "
    "Say what you did, and what you could not do, in as few words as it takes. "
)
SYSTEM = {"date": "2026-11-24", "locale": "en", "user": {"id": "u1", "name": "Ada"}}


def body(left: str, right: str) -> tuple[str, str]:
    """The text of both messages, with a variable after every so many characters."""
    names = [f"variable_{n}" for n in range(VARIABLES)]
    share = BYTES // VARIABLES - 12
    texts = [(_WORDS * 2)[n : n + share] for n in range(VARIABLES)]
    parts = [f"{text} {left}{name}{right}\n" for text, name in zip(texts, names, strict=True)]
    return "".join(parts[:-2]), "".join(parts[-2:])


def values() -> dict[str, Any]:
    return {f"variable_{n}": f"value {n} of some words" for n in range(VARIABLES)}


def ours() -> tuple[Callable[[], object], Callable[[], str], Callable[[], str]]:
    from spandrel.templates.bind import bind
    from spandrel.templates.parse import parse
    from spandrel.templates.render import render

    schema = "".join(f"    {name}: string, what it is\n" for name in values())
    system, user = body("{{", "}}")
    source = f'---\ninput:\n  schema:\n{schema}---\n{{{{role "system"}}}}{system}{{{{role "user"}}}}{user}'
    found = parse(source, lambda _: None)
    program, given = json.loads(json.dumps(found.program)), values()

    def bound() -> str:
        return "".join(each.text for each in render(program, bind(found.structure, given).values, SYSTEM))

    def alone() -> str:
        return "".join(each.text for each in render(program, given, SYSTEM))

    return lambda: parse(source, lambda _: None), bound, alone


def langchain() -> tuple[Callable[[], object], Callable[[], str]]:
    from langchain_core.prompts import ChatPromptTemplate

    system, user = body("{", "}")
    messages = [("system", system), ("user", user)]
    template, given = ChatPromptTemplate.from_messages(messages), values()
    return lambda: ChatPromptTemplate.from_messages(messages), lambda: "".join(
        str(each.content) for each in template.format_messages(**given)
    )


def jinja() -> tuple[Callable[[], object], Callable[[], str]]:
    from jinja2.sandbox import SandboxedEnvironment

    texts, given = body("{{ ", " }}"), values()

    def compiled() -> list[Any]:
        environment = SandboxedEnvironment(keep_trailing_newline=True)
        return [environment.from_string(text) for text in texts]

    templates = compiled()
    return compiled, lambda: "".join(template.render(given) for template in templates)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdecimal() else 40
    (our_first, bound, alone), (chain_first, chain), (jinja_first, jinja_render) = ours(), langchain(), jinja()
    runs: dict[str, Callable[[], object]] = {
        "spandrel, bind and render": bound,
        "spandrel, render alone": alone,
        "langchain": chain,
        "jinja2 sandbox": jinja_render,
        "spandrel, first": our_first,
        "langchain, first": chain_first,
        "jinja2 sandbox, first": jinja_first,
    }
    texts = {bound().strip(), alone().strip(), chain().strip(), jinja_render().strip()}
    assert len(texts) == 1, "all render the same"
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            count = 2 if name.endswith("first") else BATCH
            begin = time.perf_counter()
            for _ in range(count):
                run()
            times[name].append((time.perf_counter() - begin) / count * 1e6)
    medians = {name: median(each) for name, each in times.items()}
    for name, taken in medians.items():
        print(f"{name:28} {taken:8.1f} us")
    for name in ("langchain", "jinja2 sandbox"):
        print(f"ratio to {name}: render {medians[name] / medians['spandrel, render alone']:.1f}, ", end="")
        print(f"with bind {medians[name] / medians['spandrel, bind and render']:.1f}", end="")
        print(f", first {medians[f'{name}, first'] / medians['spandrel, first']:.1f}")
    print(f"{len(texts.pop().encode())} bytes, {VARIABLES} variables")


if __name__ == "__main__":
    main()
