"""How Celery is set up here: it carries ids of jobs, at least once, and keeps nothing.

Whatever it does twice or not at all is made good by the row: its lease decides who works, and the upkeep of every
worker tells again of what was lost. So no result is kept, and how long a broker waits before it takes a worker for
dead is of no matter.
"""

from __future__ import annotations

from collections.abc import Sequence

from celery import Celery
from kombu import Exchange, Queue

TASK = "morrow.run"
"""The one task; its argument is the id of a job."""

_CONNECT_SECONDS = 2.0
_MOST_URGENT = 9
_LONGEST_JOB_SECONDS = 86_400


def celery_app(url: str, *, queues: Sequence[str], job_seconds: float, patient: bool) -> Celery:
    """Return an application that knows ``queues``; jobs may run for ``job_seconds`` where they do not say.

    A ``patient`` one waits for a broker that is away, as a worker does; others fail within seconds.
    """
    is_redis = _is_redis(url)
    app = Celery("morrow", broker=url, set_as_current=False)
    app.conf.update(
        task_queues=[_queue(name, is_redis) for name in queues],
        task_create_missing_queues=False,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the lease decides
        broker_connection_retry=patient,
        broker_connection_retry_on_startup=patient,
        broker_connection_max_retries=None if patient else 1,
        broker_connection_timeout=_CONNECT_SECONDS,
        broker_heartbeat=0,  # a worker at a job's side would miss them
        broker_transport_options=_redis(job_seconds, patient) if is_redis else _impatient(patient),
    )
    return app


def urgency(priority: int, url: str) -> int:
    """Return a job's ``priority``, -100 to 100, as the broker counts: Redis from 9 down to 0, RabbitMQ from 0 up to 9.

    Brokers know ten steps at most: they tell of more urgent jobs first, the rows know them exactly.
    """
    level = min(max((priority + 100) * (_MOST_URGENT + 1) // 201, 0), _MOST_URGENT)
    return _MOST_URGENT - level if _is_redis(url) else level


def _is_redis(url: str) -> bool:
    return url.startswith("redis")


def _queue(name: str, is_redis: bool) -> Queue:
    ranks = {} if is_redis else {"max_priority": _MOST_URGENT}
    return Queue(name, Exchange(name), routing_key=name, **ranks)


def _redis(job_seconds: float, patient: bool) -> dict[str, object]:
    return {
        # Longer than any job: one that is told of again while it runs is nothing but a message more.
        "visibility_timeout": int(max(4 * job_seconds, 2 * _LONGEST_JOB_SECONDS)),
        "unacked_restore_interval": 10,
        "unacked_restore_throttle": 1,
        "socket_timeout": 30 if patient else _CONNECT_SECONDS,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "queue_order_strategy": "priority",
        "global_keyprefix": "morrow.",
        **_impatient(patient),
    }


def _impatient(patient: bool) -> dict[str, object]:
    """How a connection that is opened by the way gives up: after the first try."""
    return {} if patient else {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
