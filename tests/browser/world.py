"""A small market and a service that has lived in it: trained for real, its record written by the real refresh."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from app.bootstrap import open_services
from app.domain.order import TrainingOrder
from app.domain.version import CHAMPION
from app.forecasting.market_data import latest_bars
from app.forecasting.refresh import refresh_tickers
from app.forecasting.services import Services
from app.registry import aliases
from app.sessions.calendars import Session, exchange_of, session_on, sessions_between
from app.settings import Settings

NEW_YORK = exchange_of("ALFA")
BARS = 1300
STEPS_A_DAY = 24
HEADER = "Date,Open,High,Low,Close,Volume\n"


@dataclass
class World:
    """The service and its market; ``now`` moves, and no bar is there before its session has closed."""

    services: Services
    prices: Path
    market: dict[str, list[tuple[date, str]]]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def open_on(self, day: date) -> None:
        """Let it be the evening of the session ``day``: its bars have come."""
        self.now = _session(day).close_at + self.services.refresh_delay
        for ticker, bars in self.market.items():
            known = "".join(line for session, line in bars if session <= day)
            (self.prices / f"{ticker}.csv").write_text(HEADER + known)

    def pass_to(self, day: date) -> None:
        """Live through the session ``day``, and the refresh of its evening."""
        self.open_on(day)
        refresh_tickers(None, services=self.services, report=lambda *_: None)

    def train(self, ticker: str, *, promote: bool, **spec: Any) -> None:
        """Train a version on what is known now; with ``promote`` it becomes champion whatever it is worth."""
        # Importing them at the top would make those pay for TensorFlow who only watch.
        from app.training.threads import use_threads
        from app.training.train import train_model

        use_threads(1)  # as all tests that share this process do: TensorFlow fixes it at the first network
        body = {"ticker": ticker, "data": {"source": "files"}, "promote": "never", "spec": {"epochs": 4, **spec}}
        order = TrainingOrder.from_dict(body)
        made = train_model(
            order,
            latest_bars(ticker, "files", services=self.services, peers=order.spec.peers),
            services=self.services,
            report=lambda *_, **__: None,
            complete=lambda *_: None,
            job_id=None,
            submitted_by="test",
        )
        if promote:
            with self.services.database.write() as tx:
                aliases.point(tx, ticker, CHAMPION, made.number, by="test", reason="promoted by hand", now=self.now)


def open_world(home: Path, *tickers: str) -> World:
    """Open the service of ``home`` over a made-up market of ``tickers`` that ends with the newest closed session."""
    (home / "prices").mkdir(parents=True, exist_ok=True)
    settings = Settings(home=home, source="files", files_dir=home / "prices")
    world: World
    services = open_services(settings, clock=lambda: world.now)
    world = World(services, home / "prices", {name: _traded(seed) for seed, name in enumerate(tickers, 1)})
    return world


def closed_sessions(count: int) -> list[date]:
    """Return the newest ``count`` sessions that are over, oldest first."""
    now = datetime.now(UTC)
    days = sessions_between(NEW_YORK, now.date() - timedelta(days=2 * count + 20), now.date())
    over = [day for day in days if _session(day).close_at + timedelta(hours=2) <= now]
    return over[-count:]


def _traded(seed: int) -> list[tuple[date, str]]:
    """Return a line of prices a session: calm and wild weeks take turns, and all tickers share a part of each day."""
    days, own, shared = closed_sessions(BARS), np.random.default_rng(seed), np.random.default_rng(0)
    calm = np.zeros(BARS)
    for day in range(1, BARS):
        calm[day] = 0.96 * calm[day - 1] + 0.22 * own.standard_normal()
    together = shared.standard_normal((BARS, STEPS_A_DAY))
    moves = 0.8 * own.standard_normal((BARS, STEPS_A_DAY)) + 0.6 * together
    paths = np.cumsum(moves * (0.011 * np.exp(calm) / np.sqrt(STEPS_A_DAY))[:, None], axis=1)
    opens = 60.0 * (seed + 1) * np.exp(np.concatenate([[0.0], np.cumsum(paths[:-1, -1])]))
    within = opens[:, None] * np.exp(np.concatenate([np.zeros((BARS, 1)), paths], axis=1))
    volumes = own.integers(10**5, 10**6, BARS)
    return [
        (day, f"{day},{path[0]:.4f},{path.max():.4f},{path.min():.4f},{path[-1]:.4f},{volume}\n")
        for day, path, volume in zip(days, within, volumes, strict=True)
    ]


def _session(day: date) -> Session:
    session = session_on(NEW_YORK, day)
    assert session is not None, day
    return session
