import json
import os
import socket
import sys

import psutil
import pytest

from local import processes
from local.failures import LocalError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
PARENT = [sys.executable, "-c", f"import subprocess; subprocess.run({SLEEP!r})"]


def _start(tmp_path, command):
    return processes.start("it", command, dict(os.environ), tmp_path / "logs" / "it.log", tmp_path)


def _children(process, count):
    for _ in range(200):
        if len(found := psutil.Process(process.pid).children(recursive=True)) >= count:
            return found
        psutil.wait_procs([], timeout=0.05)
    raise AssertionError("no children")


def test_stopping_ends_children_too(tmp_path):
    process = _start(tmp_path, PARENT)
    children = _children(process, 1)
    processes.stop(process, patience=5)
    assert process.poll() is not None
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_what_a_killed_run_left_is_ended_and_nothing_else(tmp_path):
    ours, other = _start(tmp_path, SLEEP), _start(tmp_path, SLEEP)
    record = tmp_path / "processes.json"
    processes.record(record, {"ours": ours.pid, "other": other.pid})
    rows = json.loads(record.read_text())
    rows["other"]["started"] -= 100  # an id that was given anew to somebody else's process
    record.write_text(json.dumps(rows))
    assert processes.end_leftovers(record) == ["ours"]
    ours.wait(5)
    assert not psutil.pid_exists(ours.pid)
    assert other.poll() is None
    assert not record.exists()
    processes.stop(other)


def test_no_record_means_nothing_to_end(tmp_path):
    assert processes.end_leftovers(tmp_path / "none.json") == []


def test_a_port_in_use_is_named_with_its_holder():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(
            LocalError, match=rf"port {port} \(for it\) is in use.*pid {os.getpid()}.*SPANDREL_LOCAL_PORT"
        ):
            processes.require_free_port(port, "for it")
    processes.require_free_port(port, "for it")


def test_a_server_that_ends_while_starting_is_reported_with_its_last_words(tmp_path):
    process = _start(tmp_path, [sys.executable, "-c", "raise SystemExit('no room')"])
    log = tmp_path / "logs" / "it.log"
    with pytest.raises(LocalError, match=r"it stopped while starting \(no room\)") as caught:
        processes.wait_for_http("http://127.0.0.1:9/", process, "it", log, 10)
    assert str(log) in str(caught.value)


def test_a_program_that_is_missing_is_named(tmp_path):
    with pytest.raises(LocalError, match="it cannot be started"):
        _start(tmp_path, ["/nonexistent/program"])
