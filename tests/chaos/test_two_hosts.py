"""Two hosts that share a registry, a broker and S3, and a network that cuts one of them off from one of these."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack, contextmanager

import pytest

from app.artifacts.base import MANIFEST
from app.artifacts.bundle import bundle_key
from app.bootstrap import open_services
from app.jobs import leases
from app.registry import versions
from app.settings import Settings
from tests.support.hosts import need_namespaces, network
from tests.support.postgres_server import postgres_server
from tests.support.redis_server import redis_server
from tests.support.s3_server import CREDENTIALS, new_bucket, s3_server
from tests.worker.support import TOY_WORKER, is_alive, job_of, started, submit, wait_for

pytestmark = pytest.mark.slow

CARRIED_WORKER = (sys.executable, "-m", "tests.worker.toys.carried_worker")


@pytest.fixture
def town():
    """Two hosts, and an address of ours for each server that both of them see."""
    need_namespaces()
    with network(hosts=2, servers=3) as found:
        yield found


@pytest.fixture
def registry(town, environment, monkeypatch):
    """The address of the registry that all share."""
    with postgres_server(town.addresses[0]) as server:
        monkeypatch.setenv("MORROW_DATABASE_URL", server.url)
        yield server.address


@pytest.fixture
def broker(town, environment, monkeypatch):
    """The address of the broker that tells of jobs."""
    with redis_server(town.addresses[1]) as server:
        monkeypatch.setenv("MORROW_BROKER_URL", server.url)
        yield server.address


@pytest.fixture
def s3(town, environment, monkeypatch):
    """The server that keeps the bundles of all, and what lies in it."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    bucket = new_bucket()
    with s3_server(town.addresses[2]) as server:
        monkeypatch.setenv("MORROW_S3_ENDPOINT_URL", server.url)
        monkeypatch.setenv("MORROW_MODELS_STORE", bucket.url)
        yield server, bucket


@contextmanager
def registry_opened():
    services = open_services(Settings())
    try:
        yield services
    finally:
        services.database.close()


@contextmanager
def workers(town, *command):
    """A worker on each host, named like it: ``{host: process}``."""
    with ExitStack() as stack:
        yield {host: stack.enter_context(started(*host.command(*command, host.name))) for host in town.hosts}


def hand_in(services, **payload):
    """Submit a job and have it told of, as the API does."""
    job_id = submit(services, **payload)
    services.delivery.send([job_of(services, job_id)])
    return job_id


def ended(services, job_id):
    return wait_for(lambda: (found := job_of(services, job_id)).is_over and found, seconds=90)


def who_works(services, town):
    """The host whose worker holds a job, and the other."""
    with services.database.read() as tx:
        [owner] = leases.busy_workers(tx)
    return sorted(town.hosts, key=lambda host: host.name != owner)


def in_progress(services, job_id):
    return wait_for(lambda: (found := job_of(services, job_id)).progress and found)


def works_again(services, town, host):
    """With the other one cut off from the registry there is nobody else."""
    registry, *_ = town.addresses
    [other] = [one for one in town.hosts if one is not host]
    other.cut_off(registry)
    job_id = hand_in(services, do="publish", ticker="NEXT")
    assert ended(services, job_id).state == "succeeded"
    other.reconnect(registry)


def check_bundles(services, jobs):
    """Each job has made one version, and what is there of it is what was registered."""
    with services.database.read() as tx:
        made = [versions.newest(tx, job.ticker) for job in jobs]
        assert versions.count(tx) == len(jobs)
    for job, version in zip(jobs, made, strict=True):
        assert (version.job_id, version.number) == (job.job_id, job.result["version"])
        for name, facts in version.artifacts.items():
            data = services.artifacts.read(version.location, name, sha256=facts["sha256"])
            assert len(data) == facts["bytes"]


def test_a_job_of_a_host_that_is_cut_off_from_the_registry_is_done_once_by_the_other(town, registry):
    with registry_opened() as services, workers(town, *TOY_WORKER):
        job_id = submit(services, do="publish", seconds=6)
        pid = in_progress(services, job_id).progress["pid"]
        away, _ = who_works(services, town)
        away.cut_off(registry)
        job = ended(services, job_id)
        assert (job.state, job.attempt) == ("succeeded", 2)
        away.reconnect(registry)
        wait_for(lambda: not is_alive(pid), seconds=60)
        check_bundles(services, [job])
        works_again(services, town, away)


@pytest.mark.redis
def test_a_host_that_is_cut_off_from_the_broker_keeps_its_job_and_the_other_does_the_rest(town, registry, broker):
    pytest.importorskip("celery", reason="the extra `scale` is not installed")
    with registry_opened() as services, workers(town, *CARRIED_WORKER) as found:
        first = hand_in(services, do="publish", seconds=6)
        in_progress(services, first)
        away, _ = who_works(services, town)
        away.cut_off(broker)
        later = [hand_in(services, do="publish", ticker=f"T{n}") for n in range(4)]
        jobs = [ended(services, job_id) for job_id in (first, *later)]
        assert {(job.state, job.attempt, job.fence) for job in jobs} == {("succeeded", 1, 1)}
        check_bundles(services, jobs)
        wait_for(lambda: any("Connection to broker lost" in line for line in found[away].said), seconds=90)
        away.reconnect(broker)
        works_again(services, town, away)


def test_a_bundle_that_a_host_cannot_finish_for_want_of_s3_is_made_by_the_other(town, registry, s3):
    pytest.importorskip("s3fs", reason="the extra `scale` is not installed")
    (server, bucket), away, is_cut = s3, None, threading.Event()

    def cut_off_after_one_file(_number, method, _path):
        if method == "PUT" and away and not is_cut.is_set():
            away.cut_off(server.server_address[0])
            is_cut.set()

    server.fail = cut_off_after_one_file
    with registry_opened() as services, workers(town, *TOY_WORKER):
        job_id = submit(services, do="publish", seconds=2)
        in_progress(services, job_id)
        away, _ = who_works(services, town)
        job = ended(services, job_id)
        assert is_cut.is_set()
        assert (job.state, job.attempt, job.result["version"]) == ("succeeded", 2, 2)
        check_bundles(services, [job])
        begun, whole = (bundle_key("TOY", number) for number in (1, 2))
        assert [name for name in bucket.names() if name.startswith(begun)] == [f"{begun}/model.onnx"]
        assert f"{whole}/{MANIFEST}" in bucket.names()
        away.reconnect(server.server_address[0])
        works_again(services, town, away)
