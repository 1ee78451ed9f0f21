from __future__ import annotations

import json
from decimal import Decimal

import pytest

from local.config import LOCAL_MODEL
from spandrel.chat.models import TokenUsage
from spandrel.settings import SettingsError, load
from spandrel.usage.models import Cost
from spandrel.usage.prices import Price, PriceTable

MILLION = 1_000_000
TABLE = PriceTable.load()


def test_the_default_models_have_prices() -> None:
    settings = load({"SPANDREL_DATABASE_URL": "postgresql:///none"})
    for model in (settings.chat.model, settings.embedding.model, LOCAL_MODEL, "spandrel-stand-in"):
        assert TABLE.price(model) is not None, model
    assert TABLE.version == "2026-11"


def test_the_table_is_sound() -> None:
    for name, price in TABLE.models.items():
        assert price.usable(), name
        assert price.cached is None or price.cached < price.input, name
        assert price.cache_write is None or price.cache_write > price.input, name
        assert price.output == 0 or price.output > price.input, name


def test_each_kind_of_token_has_its_price() -> None:
    price = Price(Decimal(2), output=Decimal(10), cached=Decimal("0.5"), cache_write=Decimal(3))
    assert price.of(TokenUsage(MILLION, 0, 0)) == 2
    assert price.of(TokenUsage(MILLION, MILLION, 0)) == Decimal("0.5")
    assert price.of(TokenUsage(MILLION, 0, 0, cache_write_tokens=MILLION)) == 3
    assert price.of(TokenUsage(0, 0, MILLION)) == 10
    assert price.of(TokenUsage(1000, 400, 100, 100)) == Decimal("0.0025")


def test_cached_tokens_without_a_price_of_their_own_cost_as_others_do() -> None:
    assert Price(Decimal(2)).of(TokenUsage(MILLION, MILLION // 2, 7, MILLION // 4)) == 2


def test_a_long_request_is_dearer_as_a_whole() -> None:
    price = TABLE.models["gpt-5.6-luna"]
    assert price.of(TokenUsage(272_000, 0, 0)) == Decimal("0.0544")
    assert price.of(TokenUsage(272_001, 272_001, 1000)) == Decimal("0.01088004") + Decimal("0.0018")


@pytest.mark.parametrize(
    "name",
    [
        "gpt-5.4-mini",
        "gpt-5.4-mini-2026-03-17",
        "openai/gpt-5.4-mini",
        "gpt-5.4-mini-latest",
        "openai/gpt-5.4-mini-20260317",
    ],
)
def test_a_dated_name_is_its_base_s(name: str) -> None:
    assert TABLE.price(name) is TABLE.models["gpt-5.4-mini"]


@pytest.mark.parametrize("name", ["gpt-5.4-mini-pro", "gpt-5.4-micro", "llama3.3", "", "gpt"])
def test_a_model_without_a_price_costs_nothing_and_that_is_said(name: str) -> None:
    assert TABLE.cost(name, TokenUsage(MILLION, 0, MILLION)) == Cost(Decimal(0), None)


def test_a_cost_names_its_table_and_fits_the_ledger() -> None:
    cost = TABLE.cost("text-embedding-3-small", TokenUsage(7, 0, 0))
    assert cost == Cost(Decimal("0.00000014"), "2026-11")
    assert -cost.amount.as_tuple().exponent == 10  # type: ignore[operator]


def test_prices_can_be_put_over() -> None:
    over = json.dumps(
        {"version": "acme-3", "models": {"gpt-5.4-mini": {"input": 1, "output": "2"}, "own": {"input": 3}}}
    )
    table = PriceTable.load(over)
    assert table.cost("gpt-5.4-mini", TokenUsage(MILLION, 0, MILLION)) == Cost(Decimal(3), "acme-3")
    assert table.cost("own", TokenUsage(MILLION, 0, 0)).amount == 3
    assert table.price("gpt-5.5") == TABLE.price("gpt-5.5")


def test_what_is_put_over_without_a_version_is_told_apart() -> None:
    one, other = (PriceTable.load(json.dumps({"models": {"own": {"input": price}}})).version for price in (1, 2))
    assert one != other
    assert one.startswith("2026-11+")


@pytest.mark.parametrize(
    "over",
    [
        "{",
        "[]",
        '{"models": {"own": {}}}',
        '{"models": {"own": {"input": "dear"}}}',
        '{"models": {"own": {"input": "-1"}}}',
        '{"models": {"own": {"input": "NaN"}}}',
        '{"models": {"own": {"input": "1", "long": {"above": 1, "input": "-1", "output": "1"}}}}',
        '{"models": {"own": {"input": "1", "per": "token"}}}',
    ],
)
def test_what_is_no_price_table_is_refused_by_its_variable(over: str) -> None:
    with pytest.raises(SettingsError, match="SPANDREL_PRICES"):
        PriceTable.load(over)
