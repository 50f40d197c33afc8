"""The real worker of a broker, only its children do toy work; ``carried_worker.py WORKER_ID [SECONDS_FAST]``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from app.bootstrap import open_services
from app.jobs import retry
from app.observability.logs import configure_logging
from app.settings import Settings
from app.worker.carried import work_carried
from app.worker.parentage import follow_parent
from app.worker.stopping import stop_on_signals
from tests.worker.support import TOY_JOB

if __name__ == "__main__":
    follow_parent()
    retry.FIRST_SECONDS = 0.05  # the tests have no half minute to wait between two attempts
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)
    fast = timedelta(seconds=float(sys.argv[2]) if len(sys.argv) > 2 else 0)
    services = open_services(settings, clock=lambda: datetime.now(UTC) + fast)
    work_carried(
        services,
        services.delivery,
        worker_id=sys.argv[1],
        stop=stop_on_signals(),
        queues=settings.queues,
        command=TOY_JOB,
    )
