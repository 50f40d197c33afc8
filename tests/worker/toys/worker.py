"""The real worker process, only its children do toy work; ``worker.py WORKER_ID``."""

from __future__ import annotations

import sys

from app.bootstrap import open_services
from app.jobs import retry
from app.observability.logs import configure_logging
from app.settings import Settings
from app.worker.loop import run_worker
from app.worker.parentage import follow_parent
from app.worker.stopping import stop_on_signals
from tests.worker.support import TOY_JOB

if __name__ == "__main__":
    follow_parent()
    retry.FIRST_SECONDS = 0.05  # the tests have no half minute to wait between two attempts
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)
    run_worker(open_services(settings), worker_id=sys.argv[1], stop=stop_on_signals(), command=TOY_JOB)
