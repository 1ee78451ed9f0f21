"""Powertools is imported without its Tracer and its reader of JMESPath; both come whole to whoever asks for them."""

from __future__ import annotations

import subprocess
import sys


def test_what_is_left_out_can_still_be_had() -> None:
    program = """
from spandrel.left_out import LeftOutError
from spandrel.observability import LEFT_OUT, logger
import sys
assert not {*LEFT_OUT, "jmespath"} & sys.modules.keys()
from aws_lambda_powertools.tracing import Tracer
from aws_lambda_powertools.utilities import jmespath_utils
assert jmespath_utils.query({"a": [1]}, "a[0]") == 1
assert callable(Tracer.capture_method)
@logger.inject_lambda_context(correlation_id_path="a")
def handler(event, context):
    return 1
from tests.support.events import Context
try:
    handler({"a": 1}, Context())
except LeftOutError as error:
    print(error)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.endswith("import its module before spandrel.\n"), answer.stdout
