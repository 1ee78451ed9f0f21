"""What docs/templates.md shows is what happens, and it leaves no code out."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support.prompts import rendered

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "templates.md").read_text(encoding="utf-8")


def test_the_example_renders_as_it_is_shown() -> None:
    source, values, system, user = re.findall(r"```(?:handlebars|json|text)\n(.*?)```", PAGE, re.DOTALL)
    messages = rendered(source, json.loads(values), **{"house-rules": "Never double-book."})
    assert [(message.role, message.text.strip()) for message in messages] == [
        ("system", system.strip()),
        ("history", ""),
        ("user", user.strip()),
    ]


def test_every_code_of_a_fault_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", PAGE))
    found: set[str] = set()
    for path in (ROOT / "layers/shared/spandrel/templates").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r'(?:report|_fault|add)\([^"()]*(?:\([^()]*\))?[^"()]*, "([a-z_]+)", ', text))
        found |= set(re.findall(r'TagError\((?:[^"]|"(?:[^"\\]|\\.)*")*?, "([a-z_]+)"\)', text))
        found |= set(re.findall(r'Misfit\("([a-z_]+)"', text))
    assert len(found) > 20
    assert found - explained == set()
