"""What watches the service looks at metrics that there are, and every alarm says what to do."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from app.observability.metrics import DATABASE_METRICS
from tests.api.conftest import client, clock, services, template
from tests.docs import anchors_of, text_of
from tests.packaging import ROOT
from tests.packaging.compose import SERVICES

__all__ = ["client", "clock", "services", "template"]

PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
CONFIG = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
PANELS = json.loads((GRAFANA / "dashboards" / "morrow.json").read_text())["panels"]
RUNBOOK = "docs/runbook.md"


def needs_promtool(test: Callable[..., None]) -> Callable[..., None]:
    missing = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Prometheus) is not installed")
    return pytest.mark.promtool(missing(test))


def named_in(expression: str) -> set[str]:
    return set(re.findall(r"\bmorrow_\w+", expression))


@pytest.fixture
def scraped(client: TestClient) -> set[str]:
    """The names under which Prometheus finds samples, those of histograms by their parts."""
    types = dict(re.findall(r"^# TYPE (morrow_\w+) (\w+)", client.get("/metrics").text, re.M))
    parts = {f"{name}{part}" for name, kind in types.items() if kind == "histogram" for part in ("_bucket", "_count")}
    return {*types, *parts}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alarm_looks_at_metrics_that_there_are_and_says_what_to_do(alert, scraped):
    assert named_in(alert["expr"]) <= scraped
    assert named_in(alert["expr"]) or 'up{job="morrow"}' in alert["expr"]
    assert alert["labels"]["severity"] in ("page", "ticket")
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert (page, anchor) == (RUNBOOK, alert["alert"].lower())
    assert anchor in anchors_of(page)
    section = text_of(page).partition(f"## {alert['alert']}\n")[2].partition("\n## ")[0]
    assert section.strip().startswith(f"**{alert['labels']['severity']}**")
    assert "\n- See" in section and "Do" in section.replace("See and do", "Do")


def test_the_runbook_has_no_section_of_an_alarm_that_there_is_not():
    sections = re.findall(r"^## (\w+)$", text_of(RUNBOOK), re.M)
    assert sections == [alert["alert"] for alert in ALERTS]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_shows_metrics_that_there_are(panel, scraped):
    for target in panel["targets"]:
        assert named_in(target["expr"])
        assert named_in(target["expr"]) <= scraped
    assert panel["datasource"]["uid"] == "prometheus"


@pytest.mark.parametrize(
    "expression", [alert["expr"] for alert in ALERTS] + [t["expr"] for p in PANELS for t in p["targets"]]
)
def test_what_every_api_process_says_of_the_registry_is_not_added_up(expression):
    """Two API processes tell the same of it: only ``max`` and ``min`` over them are right."""
    for name in named_in(expression) & DATABASE_METRICS.keys():
        of_each = rf"(max|min)( by \([\w, ]+\))? ?\(((increase|max_over_time)\()?{name}\b"
        assert re.search(of_each, expression), expression


def test_labels_that_alarms_choose_by_are_those_of_the_metrics():
    for alert in ALERTS:
        for name, chosen in re.findall(r"\b(morrow_\w+)\{(\w+)=", alert["expr"]):
            if name in DATABASE_METRICS:
                assert chosen in DATABASE_METRICS[name][1]


def test_grafana_and_prometheus_find_each_other_and_the_api():
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert (source["uid"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/morrow.yml").read_text())["providers"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
    (job,) = CONFIG["scrape_configs"]
    assert (job["job_name"], job["dns_sd_configs"][0]["names"]) == ("morrow", ["api"])
    key = job["authorization"]["credentials_file"]
    assert key.removeprefix("/run/secrets/") in SERVICES["prometheus"]["secrets"]
    assert set(CONFIG["rule_files"]) == {"alerts.yml"}


@needs_promtool
def test_prometheus_reads_its_files():
    for words in (["check", "rules", "alerts.yml"], ["check", "config", "--syntax-only", "prometheus.yml"]):
        answer = subprocess.run(["promtool", *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr


def series(name: str, values: str) -> dict[str, str]:
    return {"series": name, "values": values}


QUIET = [
    series('up{job="morrow", instance="a"}', "1x1600"),
    series('morrow_database_up{instance="a"}', "1x1600"),
    series('morrow_workers_alive{instance="a"}', "2x1600"),
]
HTTP = 'morrow_http_requests_total{route="/v1/jobs",status="%s"}'
#: What has to happen, minute by minute, and after how many minutes the alarm is on.
TROUBLE = {
    "MorrowDown": ([series('up{job="morrow", instance="a"}', "0x30")], 5),
    "MorrowDatabaseDown": ([series('morrow_database_up{instance="a"}', "0x30")], 5),
    "MorrowNoWorkers": ([series("morrow_workers_alive", "0x30")], 6),
    "MorrowQueueStuck": ([series("morrow_job_queue_oldest_seconds", "3000+60x60")], 30),
    "MorrowJobsFailing": (
        [
            series('morrow_jobs_ended_lately{kind="train",state="failed",code="job_crashed",instance="a"}', "6x30"),
            series('morrow_jobs_ended_lately{kind="train",state="failed",code="job_crashed",instance="b"}', "6x30"),
            series('morrow_jobs_ended_lately{kind="train",state="succeeded",code="",instance="a"}', "20x30"),
        ],
        15,
    ),
    "MorrowLeasesExpire": ([series("morrow_lease_expiries_total", "0x5 1+1x20")], 20),
    "MorrowForecastsOverdue": ([series("morrow_forecast_freshness_seconds", "0+60x500")], 400),
    "MorrowBarsLate": ([series("morrow_bars_lag_sessions", "2x100")], 70),
    "MorrowTickersSilent": ([series("morrow_tickers_silent", "1x1600")], 1500),
    # A question each half hour, each of which begins another pause.
    "MorrowSourceLeftAlone": ([series('morrow_source_breaker_state{source="yahoo"}', "2x14 0x14 2x14 0x14 2x14")], 65),
    "MorrowForecastsDegraded": (
        [series("morrow_tickers_degraded", "20x60"), series("morrow_tickers_served", "100x60")],
        45,
    ),
    "MorrowCalibrationOff": (
        [series("morrow_forecast_calibration_error", "0.08x500"), series("morrow_forecasts_scored", "5000x500")],
        400,
    ),
    "MorrowDataDamaged": ([series('morrow_problems_total{code="corrupt_record"}', "0x5 1x30")], 10),
    "MorrowServerErrors": ([series(HTTP % "503", "0+2x60"), series(HTTP % "200", "0+60x60")], 30),
    "MorrowAnswersSlow": (
        [
            series(f'morrow_http_request_seconds_bucket{{route="/v1/forecasts/{{ticker}}",le="{le}"}}', values)
            for le, values in (("0.25", "0+90x60"), ("2.5", "0+100x60"), ("+Inf", "0+100x60"))
        ],
        30,
    ),
}


def test_every_alarm_is_tried():
    assert list(TROUBLE) == [alert["alert"] for alert in ALERTS]


@needs_promtool
@pytest.mark.parametrize("name", TROUBLE)
def test_an_alarm_is_on_when_there_is_trouble_and_off_when_there_is_none(name: str, tmp_path: Path):
    happens, minutes = TROUBLE[name]
    told = {one["series"].split("{")[0] for one in happens}
    quiet = [one for one in QUIET if one["series"].split("{")[0] not in told]
    cases = [
        case([*quiet, *happens], f"count({firing(name)})", minutes, [{"value": 1}]),
        case(QUIET, "count(ALERTS)", minutes, []),
    ]
    hold(cases, tmp_path)


@needs_promtool
def test_one_pause_of_a_source_is_no_trouble(tmp_path: Path):
    pause = series('morrow_source_breaker_state{source="yahoo"}', "0x5 2x14 0x120")
    hold([case([*QUIET, pause], "count(ALERTS{alertstate='firing'})", minutes, []) for minutes in range(141)], tmp_path)


def firing(name: str) -> str:
    """Select it while it is on; only that is asked: which values it has is its words' business."""
    return f"ALERTS{{alertname='{name}',alertstate='firing'}}"


def case(happens: Sequence[Mapping[str, str]], asked: str, minutes: int, answer: Sequence[Any]) -> Mapping[str, Any]:
    expected = {"expr": asked, "eval_time": f"{minutes}m", "exp_samples": answer}
    return {"interval": "1m", "input_series": happens, "promql_expr_test": [expected]}


def hold(cases: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Let Prometheus try its alarms on the cases."""
    shutil.copy(PROMETHEUS / "alerts.yml", folder)
    told = {"rule_files": ["alerts.yml"], "evaluation_interval": "1m", "tests": cases}
    (folder / "test.yml").write_text(json.dumps(told))
    answer = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
