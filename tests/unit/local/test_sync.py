import json
from dataclasses import replace
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


@pytest.mark.parametrize("broken", ["functions/api/routes/x.py", "layers/shared/spandrel/x.py"])
@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("a = 1\ndef f(:\n", ", line 2: invalid syntax;"),
        ("def f():\nreturn 1\n", ", line 2: expected an indented block"),
        ("\nreturn 1\n", ", line 2: 'return' outside function;"),
        ("a = '\0'\n", "null bytes;"),
    ],
)
def test_code_that_does_not_compile_is_named_and_not_pushed(tmp_path, monkeypatch, broken, source, told):
    made = replace(config.load({"SPANDREL_LOCAL_DIR": str(tmp_path)}), root=tmp_path)
    made.stack_file.write_text(json.dumps({"aws_endpoint_url": "http://127.0.0.1:4566", "database_url": ""}))
    (tmp_path / "functions/api").mkdir(parents=True)
    (tmp_path / "functions/api/handler.py").write_text("handler = None\n")
    (tmp_path / broken).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / broken).write_text(source)
    pushed = Mock()
    monkeypatch.setattr(sync, "supervisor", Mock())
    monkeypatch.setattr(push, "push", pushed)
    with pytest.raises(LocalError) as raised:
        sync.run(made, Console(quiet=True))
    assert str(raised.value).startswith(broken)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not pushed.called
    assert not (made.deploy_dir / ".build").exists()


def test_without_a_stack_it_says_how_to_start_one(tmp_path):
    with pytest.raises(LocalError, match="make local-start"):
        sync.run(config.load({"SPANDREL_LOCAL_DIR": str(tmp_path)}), Console(quiet=True))
