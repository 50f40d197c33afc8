from __future__ import annotations

import re

import pytest
import yaml

from tests.packaging import ROOT

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGES = {
    match["name"]: match["body"]
    for match in re.finditer(r"^FROM \S+ AS (?P<name>\S+)\n(?P<body>.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S)
}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_no_more_than_it_must(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "10001:10001"
    assert service["tmpfs"] == ["/tmp"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "devices"} & service.keys()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_bounds_a_health_check_and_time_to_stop(name):
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert service["healthcheck"]["test"] == ["CMD", "morrow", "health", name]
    assert service["stop_grace_period"] == "30s"


def test_the_worker_gives_way_to_the_api():
    default = 1024
    assert SERVICES["worker"]["cpu_shares"] < SERVICES["api"].get("cpu_shares", default)


def test_api_and_worker_share_one_volume_and_nothing_of_the_host():
    assert {tuple(service["volumes"]) for service in SERVICES.values()} == {("data:/data",)}
    assert "data" in COMPOSE["volumes"]


def test_the_worker_waits_for_the_api_which_brings_the_database_up_to_date():
    assert SERVICES["worker"]["depends_on"] == {"api": {"condition": "service_healthy"}}


def test_only_the_api_is_published_and_only_on_this_machine():
    assert {name: service.get("ports") for name, service in SERVICES.items()} == {
        "api": ["127.0.0.1:8000:8000"],
        "worker": None,
    }


def test_no_secret_has_a_default():
    values = [str(value) for service in SERVICES.values() for value in service["environment"].values()]
    assert not [value for value in values if re.search("password|secret|token|://", value, re.IGNORECASE)]


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_built_from_its_own_lock_and_started_without_a_shell(name):
    stage = STAGES[name]
    assert SERVICES[name]["build"]["target"] == name
    assert f'ENTRYPOINT ["morrow", "{name}"]' in stage
    assert f'CMD ["morrow", "health", "{name}"]' in stage
    assert f"COPY --from=build-{name} " in stage
    assert f"--require-hashes --only-binary :all: -r requirements/{name}.txt" in STAGES[f"build-{name}"]


def test_the_images_run_as_nobody_in_particular_with_bytecode_and_a_choice_of_base():
    assert "USER 10001:10001" in STAGES["runtime"]
    assert "MORROW_HOME=/data" in STAGES["runtime"]
    assert "compileall" in STAGES["build-api"]
    assert "compileall" in STAGES["build-worker"]
    assert "PYTHONDONTWRITEBYTECODE" not in DOCKERFILE
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)) == {"${PYTHON_IMAGE}", "build", "runtime"}
