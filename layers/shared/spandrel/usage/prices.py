"""What models cost: the dated table beside this file, and what a deployment puts over it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import msgspec

from spandrel.chat.models import TokenUsage
from spandrel.settings import SettingsError
from spandrel.usage.models import Cost, ModelCall, Purpose

_MILLION = Decimal(1_000_000)
_FREE = Decimal(0)
_LEDGER_DIGITS = Decimal("1e-10")
_SUFFIX = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|latest)$")


class LongContext(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By what a request's prices are multiplied when its input is longer than `above` tokens."""

    above: int
    input: Decimal
    output: Decimal


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars per million tokens; what is not said of cached tokens and of writing them costs as input does."""

    input: Decimal
    output: Decimal = _FREE
    cached: Decimal | None = None
    cache_write: Decimal | None = None
    long: LongContext | None = None

    def of(self, usage: TokenUsage) -> Decimal:
        cached = self.input if self.cached is None else self.cached
        written = self.input if self.cache_write is None else self.cache_write
        plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        given = plain * self.input + usage.cached_tokens * cached + usage.cache_write_tokens * written
        made = usage.output_tokens * self.output
        if self.long is not None and usage.input_tokens > self.long.above:
            given, made = given * self.long.input, made * self.long.output
        return (given + made) / _MILLION

    def usable(self) -> bool:
        amounts = [self.input, self.output, self.cached, self.cache_write]
        if self.long is not None:
            amounts += [self.long.input, self.long.output]
        return all(amount is None or (amount.is_finite() and amount >= 0) for amount in amounts)


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    models: dict[str, Price]
    version: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model name, and the name under which the ledger remembers them."""

    version: str
    models: dict[str, Price]

    @classmethod
    def load(cls, override: str | None = None) -> PriceTable:
        """`override`: JSON as the file has it, merged over it model by model. Raises `SettingsError`.

        An override that names no version is told apart by its hash.
        """
        base = msgspec.json.decode(Path(__file__).with_name("prices.json").read_bytes(), type=_Table)
        table = cls(str(base.version), dict(base.models))
        if not override:
            return table
        try:
            over = msgspec.json.decode(override, type=_Table)
        except msgspec.DecodeError as error:
            raise SettingsError(f"SPANDREL_PRICES is no price table: {error}") from error
        if not all(price.usable() for price in over.models.values()):
            raise SettingsError("SPANDREL_PRICES has a price that is no amount")
        version = over.version or f"{table.version}+{hashlib.sha256(override.encode()).hexdigest()[:8]}"
        return cls(version, table.models | over.models)

    def price(self, model: str) -> Price | None:
        """By its name or, for a dated one, by its base's; a provider's prefix ("openai/") is overlooked."""
        name = model.rsplit("/", 1)[-1]
        for known in (model, name, _SUFFIX.sub("", name)):
            if known in self.models:
                return self.models[known]
        return None

    def cost(self, model: str, usage: TokenUsage) -> Cost:
        price = self.price(model)
        if price is None:
            return Cost(_FREE, None)
        return Cost(price.of(usage).quantize(_LEDGER_DIGITS, ROUND_HALF_UP), self.version)

    def call(self, purpose: Purpose, model: str, usage: TokenUsage) -> ModelCall:
        """A model call that used so much, as the ledger takes it."""
        cost = self.cost(model, usage)
        return ModelCall(
            purpose=purpose,
            model=model,
            price_version=cost.price_version,
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            cost=cost.amount,
        )
