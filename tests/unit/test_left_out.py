"""Stand-ins, which must neither stay behind nor take a real module's place."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator

import pytest

from spandrel.left_out import LeftOutError, without

ABSENT = "spandrel_tests_absent"


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    assert ABSENT not in sys.modules


def test_a_stand_in_can_be_named_and_inherited_from_and_not_used() -> None:
    with without(ABSENT):
        module = importlib.import_module(ABSENT)

    class Queue(module.Queue[int]):  # type: ignore[misc, name-defined]
        pass

    assert not isinstance(ValueError(), (KeyError, module.CancelledError))
    with pytest.raises(LeftOutError, match="import its module before spandrel"):
        Queue()


def test_a_stand_in_claims_no_attribute_of_the_import_system() -> None:
    with without(ABSENT):
        module = importlib.import_module(ABSENT)
    assert not hasattr(module, "__path__")


def test_what_is_in_memory_already_is_used_as_it_is() -> None:
    with without("asyncio"):
        assert importlib.import_module("asyncio") is asyncio
    assert sys.modules["asyncio"] is asyncio


def test_a_failed_import_leaves_no_stand_in() -> None:
    with pytest.raises(ValueError, match="broken"), without(ABSENT):
        raise ValueError("broken")


def test_a_real_module_that_came_meanwhile_stays() -> None:
    real = type(sys)(ABSENT)
    with without(ABSENT):
        sys.modules[ABSENT] = real
    assert sys.modules.pop(ABSENT) is real
