from __future__ import annotations

from datetime import date

from app.domain.forecast import Bands
from app.registry import first_steps, forecasts
from tests.db.plans import query_plans
from tests.registry.models import FRIDAY, a_forecast, after


def test_who_forecast_each_session_comes_in_the_order_of_issue(database):
    said = [
        a_forecast("second", issued_at=after(2)),
        a_forecast("first", issued_at=after(1)),
        a_forecast("of the baseline", version=None, issued_at=after(3)),
        a_forecast("of another", version=2, issued_at=after(4)),
        a_forecast("of another ticker", ticker="MSFT"),
    ]
    with database.write() as tx:
        for forecast in said:
            forecasts.store(tx, forecast)
        session = said[0].steps[0].target_session

        def ids(*numbers: int | None, since: date = session) -> list[str]:
            return [one.forecast_id for one in first_steps.expected(tx, "AAPL", set(numbers), since=since)]

        assert ids(1) == ["first", "second"]
        assert ids(1, None) == ["first", "second", "of the baseline"]
        assert ids(2) == ["of another"]
        assert ids() == ids(1, since=date(2027, 1, 1)) == []
        (one,) = first_steps.expected(tx, "AAPL", {2}, since=FRIDAY)
    assert (one.version, one.issued_at, one.target_session, one.state) == (2, after(4), session, "pending")


def test_of_a_forecast_its_first_step_and_bands_are_read(database):
    bands = Bands(levels=((80.0, 85.5), (95.0, 97.0)))
    plain, banded = a_forecast("plain"), a_forecast("banded", bands=bands)
    with database.write() as tx:
        forecasts.store(tx, plain)
        forecasts.store(tx, banded)
        said = first_steps.said(tx, ["banded", "plain", "nobody's"], [80, 95.0, 50])
    assert set(said) == {"plain", "banded"}
    assert said["banded"].step == banded.steps[0]
    assert said["banded"].architecture == banded.architecture
    assert said["banded"].shown == [bands.shown(level) for level in (80, 95.0, 50)]
    assert said["banded"].shown[:2] == [85.5, 97.0]
    assert said["plain"].shown == [plain.bands.shown(level) for level in (80, 95.0, 50)]


def test_sessions_are_found_by_an_index(sqlite_database):
    with sqlite_database.write() as tx:
        (plan,) = query_plans(tx, lambda: first_steps.expected(tx, "AAPL", {1, None}, since=FRIDAY))
    assert "SEARCH scores USING INDEX ix_scores_ticker_target_session (ticker=? AND target_session>?)" in plan
