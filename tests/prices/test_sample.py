from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime

import pytest

from app.errors import UnknownTicker
from app.prices.audit import audit
from app.prices.sample import SamplePrices

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize("ticker", ["^GSPC", "^IXIC"])
def test_two_decades_of_real_prices_pass_the_audit(ticker):
    pytest.importorskip("arch")
    history = SamplePrices().history(ticker, now=NOW)
    assert (history.first_session, history.last_session) == (date(1999, 1, 4), date(2018, 12, 31))
    assert (history.currency, history.timezone, history.instrument) == ("USD", "America/New_York", "INDEX")
    fit, findings = audit(history, fields=("open", "high", "low", "close", "volume"))
    assert len(fit) == len(history) == 5031
    assert {finding.severity for finding in findings} <= {"reported"}


def test_an_as_of_date_cuts_the_sample():
    pytest.importorskip("arch")
    history = SamplePrices().history("^GSPC", start=date(2010, 1, 1), now=datetime(2012, 1, 4, 15, tzinfo=UTC))
    assert (history.first_session, history.last_session) == (date(2010, 1, 4), date(2012, 1, 3))


def test_other_tickers_are_unknown():
    with pytest.raises(UnknownTicker) as caught:
        SamplePrices().history("AAPL", now=NOW)
    assert caught.value.facts["known"] == ["^GSPC", "^IXIC"]


def test_listing_the_tickers_is_cheap():
    code = (
        "import sys; from app.prices.sample import SamplePrices; SamplePrices().tickers(); print('arch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "False"
