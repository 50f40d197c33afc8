from __future__ import annotations

import pytest
from sqlalchemy import text

from app.errors import CorruptRecord
from app.registry import aliases, forecasts, tickers
from app.registry.served import read_forecast, served
from tests.db.plans import query_plans
from tests.registry.models import NOON, a_forecast, after, train


def test_each_ticker_has_what_the_alias_names_or_the_baseline(database):
    said = [
        a_forecast("of the champion", ticker="AAPL"),
        a_forecast("of another", ticker="AAPL", version=2, issued_at=after(9)),
        a_forecast("instead", ticker="MSFT", version=None),
        a_forecast("nobody's", ticker="MSFT", version=1, issued_at=after(9)),
    ]
    with database.write() as tx:
        for ticker in ("AAPL", "AAPL", "MSFT"):
            train(tx, ticker)
        aliases.point(tx, "AAPL", "champion", 1, by="me", reason="", now=NOON)
        tickers.set_source_state(tx, "MSFT", ok=False, error={"code": "source_unavailable"}, now=NOON)
        tickers.ensure(tx, "BARE")
        for forecast in said:
            forecasts.store(tx, forecast)
        msft, nope, aapl, bare = served(tx, ["MSFT", "NOPE", "AAPL", "BARE"], "champion")
    assert (aapl.ticker, aapl.is_trained, aapl.version, aapl.alias) == ("AAPL", True, 1, "champion")
    assert read_forecast(aapl) == said[0]
    assert (msft.ticker, msft.is_trained, msft.version, msft.alias) == ("MSFT", True, None, None)
    assert read_forecast(msft) == said[2]
    assert msft.known["source_error"] == {"code": "source_unavailable"}
    assert [(one.ticker, one.is_trained, read_forecast(one)) for one in (nope, bare)] == [
        ("NOPE", False, None),
        ("BARE", False, None),
    ]


def test_a_number_names_a_version_and_the_alias_that_points_to_it(database):
    with database.write() as tx:
        for ticker in ("AAPL", "AAPL", "MSFT"):
            train(tx, ticker)
        for alias in ("champion", "canary"):
            aliases.point(tx, "AAPL", alias, 2, by="me", reason="", now=NOON)
        forecasts.store(tx, a_forecast("second", ticker="AAPL", version=2))
        aapl, msft = served(tx, ["AAPL", "MSFT"], "2")
        (first,) = served(tx, ["AAPL"], "1")
    assert (aapl.version, aapl.alias, read_forecast(aapl).forecast_id) == (2, "canary", "second")
    assert (msft.is_trained, msft.version, msft.alias) == (True, None, None)
    assert (first.version, first.alias, read_forecast(first)) == (1, None, None)


def test_what_is_mangled_of_one_ticker_hides_no_other(sqlite_database):
    with sqlite_database.write() as tx:
        for ticker in ("AAPL", "IBM", "MSFT"):
            train(tx, ticker)
            forecasts.store(tx, a_forecast(ticker, ticker=ticker, version=None))
        tx.execute(text("UPDATE forecasts SET body = '[' WHERE ticker = 'AAPL'"))
        tx.execute(text("UPDATE forecasts SET body = '{}' WHERE ticker = 'IBM'"))
        aapl, ibm, msft = served(tx, ["AAPL", "IBM", "MSFT"], "champion")
    for mangled in (aapl, ibm):
        with pytest.raises(CorruptRecord):
            read_forecast(mangled)
    assert read_forecast(msft).forecast_id == "MSFT"


@pytest.mark.parametrize("model", ["champion", "7"])
def test_many_tickers_are_one_statement_that_scans_nothing(sqlite_database, model):
    with sqlite_database.write() as tx:
        plans = query_plans(tx, lambda: served(tx, [f"T{n}" for n in range(400)], model))
    assert len(plans) == (1 if model == "champion" else 2)  # of a number, the aliases that point to it
    assert plans[0].count("ix_forecasts_latest (ticker=? AND version=?)") == 2
    assert "SCAN" not in plans[0].replace("SCALAR", "")
    assert "TEMP B-TREE" not in plans[0]
