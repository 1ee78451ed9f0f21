"""psycopg is imported without its asynchronous half, which must neither stay behind nor take the real one's place."""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from spandrel.driver import LEFT_OUT, LeftOutError, without

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
    with pytest.raises(LeftOutError, match="Import asyncio before"):
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


def test_the_driver_leaves_them_out_and_the_real_ones_come_after_it() -> None:
    program = f"""
import sys
from spandrel.driver import LeftOutError
assert not set({LEFT_OUT!r}) & sys.modules.keys(), sys.modules.keys()
import asyncio, ctypes.util, importlib.metadata
assert asyncio.run(asyncio.sleep(0, "slept")) == "slept"
assert importlib.metadata.version("psycopg")[0].isdigit()
assert callable(ctypes.util.find_library)
from psycopg._acompat import ALock
try:
    ALock()
except LeftOutError:
    print("left out")
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == "left out\n"


def test_asyncio_that_was_there_first_leaves_psycopg_whole() -> None:
    program = """
import asyncio
from spandrel.driver import psycopg
from psycopg._acompat import ALock
assert isinstance(ALock(), asyncio.Lock)
print("whole")
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.stdout == "whole\n", answer.stderr
