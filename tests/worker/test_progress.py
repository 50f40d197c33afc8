"""What a job tells of how far it is."""

from __future__ import annotations

from types import SimpleNamespace

from app.worker import run_job
from tests.worker.support import claim, job_of, submit


def test_the_time_left_is_told_once_the_pace_is_known(services, monkeypatch):
    submit(services)
    job, now = claim(services), [0.0]
    monkeypatch.setattr(run_job, "time", SimpleNamespace(monotonic=lambda: now[0]))
    report = run_job.progress_reporter(services, job, every=0.0)
    left = []
    # Half a minute of compiling before the first epoch, then a second each; a stage that follows begins anew.
    for seconds, stage, fraction in [
        (0.0, "fit", 0.0),
        (30.0, "fit", 0.1),
        (32.0, "fit", 0.3),
        (33.0, "backtest", 0.0),
        (34.0, "backtest", 0.5),
    ]:
        now[0] = seconds
        report(stage, fraction)
        left.append(job_of(services, job.job_id).progress["eta_seconds"])
    assert left == [None, None, 7.0, None, None]
