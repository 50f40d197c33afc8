from __future__ import annotations

import os
import re
import shutil
import subprocess
from urllib.parse import urlsplit

import pytest
from sqlalchemy.engine import make_url

from tests.packaging import ROOT
from tests.packaging.compose import COMPOSE, ONE_SHOT, OURS, SERVICES, at, profiles_of

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
    user, _, _ = service["user"].partition(":")
    assert user.isdigit() and int(user) > 0
    assert service["tmpfs"][0] == "/tmp"
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices", "userns_mode"} & service.keys()
    assert "docker.sock" not in str(service)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_bounds_a_health_check_and_time_to_stop(name):
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert service["stop_grace_period"] == "30s"
    assert service["logging"]["options"]["max-size"]
    if name in ONE_SHOT:
        assert service["restart"] == "no"
    else:
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert service["restart"] == "unless-stopped"
    if name in OURS:
        assert service["healthcheck"]["test"] == ["CMD", "morrow", "health", name]


def test_the_worker_gives_way_to_the_api():
    default = 1024
    assert SERVICES["worker"]["cpu_shares"] < SERVICES["api"].get("cpu_shares", default)


def test_without_a_profile_api_and_worker_start_on_one_volume_and_nothing_of_the_host():
    assert [name for name in SERVICES if not profiles_of(name)] == list(OURS)
    assert {tuple(SERVICES[name]["volumes"]) for name in OURS} == {("data:/data",)}
    named = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert {name for name in named if not name.startswith(".")} == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_of_the_host_a_service_reads_only_what_comes_with_the_project(name):
    for path, mode in at(name).items():
        assert mode == "ro"
        assert (ROOT / path).exists()


def test_each_waits_for_what_it_needs():
    servers = {name: {"condition": "service_healthy", "required": False} for name in ("postgres", "redis", "store")}
    assert SERVICES["api"]["depends_on"] == servers
    # The API brings the database up to date.
    assert SERVICES["worker"]["depends_on"] == {**servers, "api": {"condition": "service_healthy"}}
    assert {profiles_of(name) for name in servers} == {("scale",)}


def test_only_what_people_look_at_is_published_and_only_on_this_machine():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"api", "prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_servers_are_in_a_network_without_a_way_out():
    assert COMPOSE["networks"]["back"] == {"internal": True}
    for name in SERVICES:
        expected = {"scale": ["back"], "monitoring": ["front"]}
        assert SERVICES[name]["networks"] == expected.get(*profiles_of(name) or ("",), ["front", "back"])


def test_no_secret_has_a_default_or_stands_in_the_environment():
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("password|secret|key|token|env_file", name, re.IGNORECASE):
                assert value.startswith("/run/secrets/"), name
                assert value.removeprefix("/run/secrets/") in service["secrets"]
            assert "://" not in value
    for name, secret in COMPOSE["secrets"].items():
        assert re.fullmatch(r"\$\{MORROW_SECRETS:\?[^}]+\}/" + name, secret["file"]), secret
    for name in OURS:
        assert re.fullmatch(r"\$\{MORROW_SECRETS:\?[^}]+\}/scale\.env", SERVICES[name]["env_file"][0]["path"])
    for whose in ("admin", "metrics"):
        assert SERVICES["api"]["environment"][f"MORROW_{whose.upper()}_KEY_FILE"] == f"/run/secrets/{whose}_key"


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OURS])
def test_images_of_others_are_of_one_version(name):
    image = SERVICES[name]["image"]
    assert image == "morrow-api" or re.fullmatch(r"docker\.io/[\w/]+:(?!latest)[\w.-]+", image)


@pytest.fixture
def secrets(tmp_path):
    """Run ``deploy/secrets.sh`` in a folder of its own; returns what it wrote, by name."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets"))

    def make(*words):
        environment = {name: value for name, value in os.environ.items() if name != "MORROW_SECRETS"}
        subprocess.run(["sh", "deploy/secrets.sh", *words], cwd=tmp_path, env=environment, check=True)
        return {path.name: path.read_text().strip() for path in (tmp_path / "deploy").glob("secrets/*")}

    make.folder = tmp_path
    return make


def test_secrets_are_random_made_once_and_nobody_elses_to_read(secrets):
    first = secrets()
    assert set(first) == {"admin_key", "metrics_key", "grafana_password"}
    assert len(first["admin_key"]) >= 32
    assert (secrets.folder / "deploy" / "secrets").stat().st_mode & 0o077 == 0
    assert (secrets.folder / ".env").stat().st_mode & 0o077 == 0
    assert (secrets.folder / ".env").read_text().splitlines() == [
        "MORROW_SECRETS=./deploy/secrets",
        "COMPOSE_PROFILES=",
    ]
    with (secrets.folder / ".env").open("a") as file:
        file.write("MORROW_SOURCE=sample\n")
    again = secrets("scale", "monitoring")
    for words in (("scale", "monitoring"), (), ("monitoring",), ("scale", "scale")):
        secrets(*words)
        assert (secrets.folder / ".env").read_text().splitlines() == [
            "MORROW_SECRETS=./deploy/secrets",
            "COMPOSE_PROFILES=scale,monitoring",
            "MORROW_SOURCE=sample",
        ]
    assert {name: again[name] for name in first} == first
    assert set(again) == {*COMPOSE["secrets"], "scale.env"}
    made_at_random = ("admin_key", "metrics_key", "grafana_password", "postgres_password", "redis_conf")
    assert len({again[name] for name in made_at_random}) == len(made_at_random)


def test_secrets_stay_in_the_folder_that_env_names_and_a_profile_written_by_hand_has_its_own(secrets):
    elsewhere = secrets.folder / "elsewhere"
    (secrets.folder / ".env").write_text(f"MORROW_SECRETS={elsewhere}\nCOMPOSE_PROFILES=scale\n")
    assert secrets("monitoring") == {}
    assert {path.name for path in elsewhere.iterdir()} == {*COMPOSE["secrets"], "scale.env"}
    assert (secrets.folder / ".env").read_text() == f"MORROW_SECRETS={elsewhere}\nCOMPOSE_PROFILES=scale,monitoring\n"


@pytest.mark.parametrize("written", ["MORROW_SOURCE=sample\n", "MORROW_SOURCE=sample", "MORROW_SECRETS=\n"])
def test_an_env_that_was_there_first_is_told_of_the_secrets(secrets, written):
    (secrets.folder / ".env").write_text(written)
    secrets()
    lines = (secrets.folder / ".env").read_text().splitlines()
    others = [line for line in written.splitlines() if line != "MORROW_SECRETS="]
    assert lines == ["MORROW_SECRETS=./deploy/secrets", "COMPOSE_PROFILES=", *others]


def test_the_addresses_of_the_servers_carry_their_secrets(secrets):
    made = secrets("scale")
    set_to = dict(line.split("=", 1) for line in made["scale.env"].splitlines())
    assert make_url(set_to["MORROW_DATABASE_URL"]).password == made["postgres_password"]
    assert make_url(set_to["MORROW_DATABASE_URL"]).host == "postgres"
    broker = urlsplit(set_to["MORROW_BROKER_URL"])
    assert (f"requirepass {broker.password}", broker.hostname) == (made["redis_conf"], "redis")
    assert f"MINIO_ROOT_PASSWORD={set_to['AWS_SECRET_ACCESS_KEY']}" in made["store_env"]
    assert urlsplit(set_to["MORROW_S3_ENDPOINT_URL"]).hostname == "store"
    assert urlsplit(set_to["MORROW_MODELS_STORE"]).netloc in SERVICES["store-folder"]["entrypoint"][-1]


def test_secrets_are_neither_committed_nor_sent_to_a_build():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/.env", "/deploy/secrets/"} <= set(ignored)
    assert "*" in (ROOT / ".dockerignore").read_text().splitlines()  # and what is let through is listed
    assert "!deploy" not in (ROOT / ".dockerignore").read_text()


@pytest.mark.parametrize("name", OURS)
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
