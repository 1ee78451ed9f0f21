import json
from unittest.mock import Mock

import pytest
from rich.console import Console

from local import build, config, push, sync
from local.failures import LocalError


def test_the_code_goes_to_the_port_that_the_stack_was_started_at(tmp_path, monkeypatch):
    made = config.load({"SPANDREL_LOCAL_DIR": str(tmp_path)})
    made.stack_file.write_text(
        json.dumps({"aws_endpoint_url": "http://127.0.0.1:4700", "database_url": "postgresql:///x"})
    )
    pushed = Mock()
    monkeypatch.setattr(sync, "supervisor", Mock())
    monkeypatch.setattr(build, "stage_functions", Mock(return_value=["api"]))
    monkeypatch.setattr(build, "stage_code", Mock())
    monkeypatch.setattr(push, "push", pushed)

    assert sync.run(made, Console(quiet=True)) == 0
    [where, names, database_url] = pushed.call_args.args
    assert (where.endpoint, names, database_url) == ("http://127.0.0.1:4700", ["api"], "postgresql:///x")


def test_without_a_stack_it_says_how_to_start_one(tmp_path):
    with pytest.raises(LocalError, match="make local-start"):
        sync.run(config.load({"SPANDREL_LOCAL_DIR": str(tmp_path)}), Console(quiet=True))
