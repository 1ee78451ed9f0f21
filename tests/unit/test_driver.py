"""psycopg is imported without its asynchronous half, which must neither stay behind nor take the real one's place."""

from __future__ import annotations

import subprocess
import sys

from spandrel.driver import LEFT_OUT


def test_the_driver_leaves_them_out_and_the_real_ones_come_after_it() -> None:
    program = f"""
import sys
from spandrel import driver
from spandrel.left_out import LeftOutError
assert not set({LEFT_OUT!r}) & sys.modules.keys(), sys.modules.keys()
import asyncio, ctypes.util, importlib.metadata, zoneinfo
assert asyncio.run(asyncio.sleep(0, "slept")) == "slept"
assert importlib.metadata.version("psycopg")[0].isdigit()
assert callable(ctypes.util.find_library)
assert zoneinfo.ZoneInfo("Asia/Tokyo").key == "Asia/Tokyo"
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
