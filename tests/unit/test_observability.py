"""Powertools is imported without its Tracer and its reader of JMESPath; both come whole to whoever asks for them."""

from __future__ import annotations

import json
import os
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


def test_metrics_go_where_the_deployment_says() -> None:
    """Two stacks of an account would otherwise add up in one namespace, and one's alarm tell of the other's faults."""
    program = "from spandrel.observability import count, metrics; count('Things'); metrics.flush_metrics()"
    for given, expected in (({"POWERTOOLS_METRICS_NAMESPACE": "Spandrel/two"}, "Spandrel/two"), ({}, "Spandrel")):
        env = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]} | given
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=env)
        assert done.returncode == 0, done.stderr
        published = json.loads(done.stdout.splitlines()[-1])
        assert published["_aws"]["CloudWatchMetrics"][0]["Namespace"] == expected
