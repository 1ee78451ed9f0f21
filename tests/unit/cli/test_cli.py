import socket

import pytest
from typer.testing import CliRunner

from cli.main import app

runner = CliRunner()


@pytest.fixture
def env(tmp_path):
    return {"SPANDREL_LOCAL_DIR": str(tmp_path), "SPANDREL_LOCAL_PORT": "31987", "SPANDREL_DATABASE_URL": ""}


@pytest.mark.parametrize("command", [["token"], ["migrate"]])
def test_without_a_stack_it_is_said_how_to_start_one(env, command):
    done = runner.invoke(app, command, env=env)
    assert done.exit_code == 1
    assert "make local" in done.output


def test_a_username_without_a_password_is_refused(env):
    done = runner.invoke(app, ["token", "--username", "a"], env=env)
    assert done.exit_code == 1
    assert "together" in done.output


def test_a_database_out_of_reach_is_one_line(env, tmp_path):
    url = f"postgresql://nobody@/none?host={tmp_path}"
    done = runner.invoke(app, ["migrate", "--plan", "--database-url", url], env=env)
    assert done.exit_code == 1
    assert "cannot be reached" in done.output


def test_doctor_is_content_with_a_stopped_stack(env):
    done = runner.invoke(app, ["doctor"], env=env)
    assert done.exit_code == 0, done.output
    assert "not running" in done.output


def test_doctor_names_a_port_in_use(env):
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 31987))
        holder.listen()
        done = runner.invoke(app, ["doctor"], env=env)
    assert done.exit_code == 1
    assert "31987" in done.output
    assert "SPANDREL_LOCAL_PORT" in done.output


def test_doctor_says_what_to_do_about_a_stack_that_does_not_answer(env, tmp_path):
    (tmp_path / "stack.json").write_text(
        f'{{"http_url": "http://127.0.0.1:9", "database_url": "postgresql://x@/x?host={tmp_path}"}}'
    )
    done = runner.invoke(app, ["doctor"], env=env)
    assert done.exit_code == 1
    assert "make local-stop local-start" in done.output
