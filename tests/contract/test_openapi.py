"""docs/openapi.json is what the code says. After a change: `make docs`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.api import document, operations

PATH = Path(__file__).parents[2] / "docs" / "openapi.json"


def rendered() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def test_the_published_contract_is_the_code_s() -> None:
    assert PATH.read_text(encoding="utf-8") == rendered(), "run `make docs`"


def test_every_operation_needs_a_token_but_health_and_this_document() -> None:
    assert document()["security"] == [{"jwt": []}]
    open_ = [name for name, (_, _, operation) in operations().items() if "security" in operation]
    assert open_ == ["get_health", "get_openapi"]


def test_every_operation_names_its_problems() -> None:
    for name, (_, _, operation) in operations().items():
        assert "application/problem+json" in operation["responses"]["default"]["content"], name
        assert "422" not in operation["responses"], name


def test_every_reference_leads_somewhere() -> None:
    schemas = document()["components"]["schemas"]
    text = json.dumps(document())
    wanted = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert wanted - schemas.keys() == set()
    assert schemas.keys() - wanted == set()


def test_operations_that_create_take_an_idempotency_key() -> None:
    for name in ("create_collection", "create_documents", "create_template", "save_template_version"):
        headers = [each["name"] for each in operations()[name][2]["parameters"] if each["in"] == "header"]
        assert headers == ["Idempotency-Key"], name
