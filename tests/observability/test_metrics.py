"""What a scrape sees."""

from __future__ import annotations

import subprocess
import sys

from prometheus_client.parser import text_string_to_metric_families

from app.errors import StoreUnavailable
from app.observability.metrics import Reading, exposition, observe_request


def samples(page):
    families = text_string_to_metric_families(page.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_requests_are_counted_by_template_and_status():
    before = samples(exposition(list))
    observe_request(method="GET", route="/v1/test/{ticker}", status=404, seconds=0.02)
    after = samples(exposition(list))
    labels = (("method", "GET"), ("route", "/v1/test/{ticker}"))
    counter = ("morrow_http_requests_total", (*labels, ("status", "404")))
    assert after[counter] - before.get(counter, 0) == 1
    assert after[("morrow_http_request_seconds_sum", labels)] >= 0.02


def test_the_registry_is_read_at_the_scrape():
    readings = [
        Reading(name="morrow_jobs", value=3, labels={"state": "queued"}),
        Reading(name="morrow_workers_alive", value=2),
    ]
    seen = samples(exposition(lambda: readings))
    assert seen[("morrow_jobs", (("state", "queued"),))] == 3
    assert seen[("morrow_workers_alive", ())] == 2
    assert seen[("morrow_database_up", ())] == 1


def test_a_registry_that_is_away_is_a_value_and_not_a_failed_scrape():
    def away():
        raise StoreUnavailable("locked")

    seen = samples(exposition(away))
    assert seen[("morrow_database_up", ())] == 0
    assert any(name.startswith("process_") or name.startswith("python_") for name, _ in seen)


def test_metrics_need_no_database_to_be_imported():
    program = "import sys, app.observability.metrics, app.observability.logs; print('sqlalchemy' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
