"""The supervisor over real workers: restarts the dead, stops all, leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import sys
import urllib.request

import pytest

from app.settings import Settings
from app.worker.supervisor import serve
from tests.bench.processes import free_port
from tests.worker.support import TOY_SERVICE, descendants, is_alive, job_of, started, submit, wait_for

pytestmark = pytest.mark.slow

WORKER = "worker=tests.worker.toys.worker,w"
API = "!api=http.server,0,--bind,127.0.0.1"


def below(service, name):
    return {pid for pid, command in descendants(service.pid).items() if name in command}


def test_a_killed_worker_is_started_again_and_finishes_the_job(services):
    job_id = submit(services, seconds=1.5)
    with started(*TOY_SERVICE, WORKER) as service:
        wait_for(lambda: job_of(services, job_id).progress)
        (first,) = below(service, "toys.worker")
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: below(service, "toys.worker") - {first})
        wait_for(lambda: job_of(services, job_id).is_over)
    assert job_of(services, job_id).state == "succeeded"


def test_nothing_is_left_when_the_supervisor_is_killed(services):
    job_id = submit(services, do="idle")
    with started(*TOY_SERVICE, API, WORKER) as service:
        wait_for(lambda: job_of(services, job_id).progress)
        wait_for(lambda: below(service, "http.server"))
        mine = set(descendants(service.pid)) - below(service, "http.server")  # which does not follow its parent
        assert len(mine) == 2
        stranger = below(service, "http.server")
        service.kill()
        wait_for(lambda: not any(is_alive(pid) for pid in mine))
        for pid in stranger:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_all_in_order_and_hands_the_job_back(services, number):
    job_id = submit(services, do="idle")
    with started(*TOY_SERVICE, API, WORKER) as service:
        wait_for(lambda: job_of(services, job_id).progress)
        mine = set(descendants(service.pid))
        os.killpg(service.pid, number)  # as a terminal's Ctrl-C does: the whole group
        assert service.wait(timeout=30) == 0
        assert not any(is_alive(pid) for pid in mine)
    job = job_of(services, job_id)
    assert (job.state, job.attempt) == ("queued", 0)
    assert "Traceback" not in "".join(service.said)


def test_an_api_that_never_comes_up_ends_the_service(environment):
    with started(*TOY_SERVICE, "!api=no_such_module") as service:
        assert service.wait(timeout=30) == 1
    assert "gave up" in "".join(service.said)


def test_a_taken_port_is_said_at_once(environment, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("MORROW_PORT", str(taken.getsockname()[1]))
        assert serve(Settings()) == 1
    assert "Address already in use" in "".join(capsys.readouterr())


def test_the_whole_service_comes_up_and_stops_with_zero(environment):
    port = free_port()
    with started(sys.executable, "-m", "app", "serve", "--port", str(port), "--workers", "1") as service:
        wait_for(lambda: readiness(port) and "1 alive." in readiness(port), seconds=60)
        mine = set(descendants(service.pid))
        assert len(mine) == 2
        service.terminate()
        assert service.wait(timeout=30) == 0
        assert not any(is_alive(pid) for pid in mine)
    assert "Traceback" not in "".join(service.said)


def readiness(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return None
