"""The real worker over ``tests.chaos.entries.job``; ``worker.py WORKER_ID``."""

from __future__ import annotations

import sys

from app.bootstrap import open_services
from app.jobs import retry
from app.observability.logs import configure_logging
from app.settings import Settings
from app.worker.loop import run_worker
from app.worker.parentage import follow_parent
from app.worker.stopping import stop_on_signals
from tests.chaos.entries.wall import follow_file

JOB = (sys.executable, "-m", "tests.chaos.entries.job")

if __name__ == "__main__":
    follow_parent()
    follow_file()
    retry.FIRST_SECONDS = 0.02  # a job that is hit again and again would wait for minutes
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)
    run_worker(open_services(settings), worker_id=sys.argv[1], stop=stop_on_signals(), command=JOB)
