"""A network that reads peers knows of them what was known, session by session, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from app.dataset.prepare import Dataset, needed_bars, needed_sessions, prepare
from app.domain.history import Bars, PriceHistory
from app.domain.job import Job
from app.domain.order import DataRange, Evaluation, TrainingOrder
from app.domain.spec import NetworkSpec, Target
from app.errors import InvalidBars, InvalidSpec, NoBarsYet, NotEnoughHistory, SourceUnavailable, UnknownTicker
from app.forecasting.market_data import Feed, RawBars, check_order, keep, latest_bars
from app.forecasting.services import Services
from app.registry import snapshots, tickers
from app.worker.handlers import train
from tests.forecasting.conftest import NOW, TestSource, make_bars

READS_PEER = NetworkSpec(features=("close",), peers=("PEER",), window=5)


def every_day(count: int, *, last: str = "2024-03-05", seed: int = 9) -> Bars:
    """Bars of every day of the week, ending with ``last``."""
    days = np.datetime64(last) + np.arange(1 - count, 1)
    return replace(make_bars(count, seed=seed), sessions=days)


def raw(own: Bars, *, ticker: str = "AAA", **peers: Bars) -> RawBars:
    named = {"BTC-USD" if name == "BTC" else name: bars for name, bars in peers.items()}
    return RawBars(
        history=of(ticker, own),
        snapshot_id=None,
        peers={n: RawBars(history=of(n, b), snapshot_id=None) for n, b in named.items()},
    )


def of(ticker: str, bars: Bars) -> PriceHistory:
    return PriceHistory(ticker=ticker, source="files", bars=bars)


def dataset(bars: RawBars, spec: NetworkSpec) -> Dataset:
    market = bars.audited_for(spec)
    return prepare(market.history.bars, spec, market.peer_bars)


def shaken(bars: Bars, rows: np.ndarray) -> Bars:
    """Move all prices of ``rows`` by half a percent."""
    names = ("open", "high", "low", "close", "adj_close")
    return replace(bars, **{name: np.where(rows, getattr(bars, name) * 1.005, getattr(bars, name)) for name in names})


def order(spec: NetworkSpec, **data: date) -> TrainingOrder:
    evaluation = Evaluation(kind="fixed", test_fraction=0.2)
    return TrainingOrder(ticker="AAA", spec=spec, data=DataRange(source="files", **data), evaluation=evaluation)


@pytest.mark.parametrize("features", [("close",), ("returns", "range", "rsi")])
def test_a_row_never_knows_a_later_bar_of_a_peer(features: tuple[str, ...]) -> None:
    spec = NetworkSpec(features=features, peers=("PEER",), window=5)
    own, peer = make_bars(400), make_bars(400, seed=8)
    before = dataset(raw(own, PEER=peer), spec)
    cut = np.datetime64("2023-11-01")
    after = dataset(raw(own, PEER=shaken(peer, peer.sessions > cut)), spec)
    past = before.sessions <= cut
    np.testing.assert_array_equal(before.sessions, after.sessions)
    np.testing.assert_array_equal(before.features[past], after.features[past])
    assert (before.features[~past] != after.features[~past]).any()
    np.testing.assert_array_equal(before.targets, after.targets)


def test_a_saturday_of_a_peer_that_never_rests_never_enters() -> None:
    spec = NetworkSpec(features=("close",), peers=("BTC-USD",), window=5)
    own, peer = make_bars(300), every_day(500)
    before = dataset(raw(own, BTC=peer), spec)
    np.testing.assert_array_equal(before.sessions, own.sessions)
    np.testing.assert_array_equal(before.features[:, 1], peer.close[np.isin(peer.sessions, own.sessions)])
    weekend = ~np.is_busday(peer.sessions)
    after = dataset(raw(own, BTC=shaken(peer, weekend)), spec)
    np.testing.assert_array_equal(before.features, after.features)


def test_targets_are_over_the_own_sessions_shared_or_not() -> None:
    spec = NetworkSpec(features=("close",), peers=("PEER",), window=5)
    own = every_day(500, last="2024-03-01")
    found = dataset(raw(own, ticker="BTC-USD", PEER=make_bars(300, last="2024-03-01")), spec)
    assert np.is_busday(found.sessions).all()
    friday = int(np.flatnonzero(found.sessions == np.datetime64("2024-02-23"))[0])
    assert found.next_sessions[friday] == np.datetime64("2024-02-24")
    row = int(np.flatnonzero(own.sessions == np.datetime64("2024-02-23"))[0])
    assert found.targets[friday, 0] == pytest.approx(np.log(own.close[row + 1] / own.close[row]))


def test_a_forecast_is_as_of_the_last_session_that_all_share() -> None:
    spec = NetworkSpec(features=("close",), peers=("PEER", "BTC-USD"), window=5)
    bars = raw(make_bars(300), PEER=make_bars(300, last="2024-03-01"), BTC=every_day(400))
    market = bars.audited_for(spec)
    assert market.history.last_session == date(2024, 3, 1)
    assert market.history.last_close == market.history.bars.close[-1] != bars.history.last_close
    assert list(market.peers) == ["PEER", "BTC-USD"]
    assert market.within(DataRange(source="files", end=date(2024, 2, 25))).last_session == date(2024, 2, 23)
    assert bars.audited_for(NetworkSpec()).history.last_session == date(2024, 3, 5)


def test_a_range_ends_at_a_shared_session_too() -> None:
    spec = NetworkSpec(features=("close",), peers=("PEER",), window=5)
    market = raw(every_day(400), ticker="BTC-USD", PEER=make_bars(300)).audited_for(spec)
    assert market.within(DataRange(source="files", end=date(2024, 2, 25))).last_session == date(2024, 2, 23)


def test_what_the_audit_finds_in_a_peer_names_it_and_counts_only_for_what_is_read_of_it() -> None:
    peer = make_bars(300, seed=8)
    volume, close = peer.volume.copy(), peer.close.copy()
    volume[:] = 0.0
    close[100] = np.nan
    market = raw(make_bars(300), PEER=replace(peer, volume=volume, close=close)).audited_for(
        NetworkSpec(features=("close", "volume"), peers=("PEER",), peer_features=("close",), window=5)
    )
    assert len(market.peers["PEER"]) == 299
    assert any(found.detail.startswith("PEER: ") for found in market.findings if found.code == "missing_values")


def test_no_shared_session_is_refused_with_the_numbers_and_the_peers() -> None:
    bars = raw(make_bars(300), PEER=make_bars(300, last="2010-03-05"))
    with pytest.raises(NotEnoughHistory, match="AAA shares 0 sessions with PEER") as error:
        check_order(order(READS_PEER), bars)
    assert error.value.facts == {"have": 0, "need": needed_sessions(order(READS_PEER)), "peers": ["PEER"]}
    assert error.value.pointer == "/spec/peers"
    with pytest.raises(NotEnoughHistory, match="AAA shares 0 sessions with PEER") as error:
        bars.audited_for(READS_PEER)
    assert error.value.facts == {"have": 0, "need": needed_bars(READS_PEER), "peers": ["PEER"]}


@pytest.mark.parametrize(
    ("peer", "data", "expected", "facts"),
    [
        (make_bars(30), {}, NotEnoughHistory, {"have": 30}),
        (make_bars(300, last="2023-01-02"), {"start": date(2023, 6, 1)}, NotEnoughHistory, {"have": 0, "peer": "PEER"}),
        (replace(make_bars(300), close=np.full(300, np.nan)), {}, InvalidBars, {"field": "close", "peer": "PEER"}),
    ],
)
def test_a_peer_that_cannot_be_used_is_refused_by_name(peer, data, expected, facts) -> None:
    with pytest.raises(expected, match="PEER") as error:
        check_order(order(READS_PEER, **data), raw(make_bars(400), PEER=peer))
    assert error.value.facts.items() >= facts.items()
    assert error.value.pointer in ("/spec/peers/0", "/spec/peers")


def test_an_order_with_peers_is_taken_when_they_share_enough() -> None:
    check_order(order(READS_PEER), raw(make_bars(400), PEER=make_bars(200)))


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        (NetworkSpec(features=("weighted_price",)), "/spec/features"),
        (NetworkSpec(targets=(Target(field="weighted_price"),)), "/spec/target/field"),
        (NetworkSpec(peers=("PEER",), peer_features=("weighted_price",)), "/spec/peers/0"),
    ],
)
def test_columns_that_the_bars_do_not_have_are_refused_with_those_they_have(spec: NetworkSpec, pointer: str) -> None:
    with pytest.raises(InvalidSpec) as error:
        check_order(order(spec), raw(make_bars(400), PEER=make_bars(400)))
    assert error.value.pointer == pointer
    assert {"close", "volume"} <= set(error.value.facts["known"])


def test_further_columns_of_a_peer_can_be_read() -> None:
    peer = make_bars(400, seed=8)
    spec = NetworkSpec(peers=("PEER",), peer_features=("weighted_price",), window=5)
    bars = raw(make_bars(400), PEER=replace(peer, extra={"weighted_price": peer.close}))
    check_order(order(spec), bars)
    np.testing.assert_array_equal(dataset(bars, spec).features[:, -1], peer.close)


def test_a_horizon_longer_than_what_is_tested_is_refused_with_the_numbers() -> None:
    spec = NetworkSpec(features=("close",), strategy="recursive", window=5, horizon=80, loss="mse")
    check_order(order(spec), raw(make_bars(400)))
    with pytest.raises(NotEnoughHistory) as error:
        check_order(order(replace(spec, horizon=81)), raw(make_bars(400)))
    assert (error.value.facts, error.value.pointer) == ({"have": 80, "need": 81}, "/spec/horizon")


def test_peers_are_asked_for_at_the_same_source_and_kept(services: Services, source: TestSource) -> None:
    source.bars |= {"AAA": make_bars(300), "PEER": make_bars(300, seed=8), "MORE": make_bars(300, seed=9)}
    found = latest_bars("AAA", "files", services=services, peers=("PEER", "MORE"))
    assert list(found.peers) == ["PEER", "MORE"]
    with services.database.read() as tx:
        row = snapshots.latest(tx, "PEER", "files")
    assert row is not None and row["snapshot_id"] == found.peers["PEER"].snapshot_id
    market = found.audited_for(NetworkSpec(peers=("PEER", "MORE")))
    assert market.peer_snapshots == {name: one.snapshot_id for name, one in found.peers.items()}


def test_a_peer_that_the_source_does_not_know_is_refused_by_name(services: Services, source: TestSource) -> None:
    source.bars |= {"AAA": make_bars(300), "PEER": make_bars(300)}
    with pytest.raises(UnknownTicker, match="NOPE") as error:
        latest_bars("AAA", "files", services=services, peers=("PEER", "NOPE"))
    assert (error.value.pointer, error.value.facts["peer"]) == ("/spec/peers/1", "NOPE")
    keep(replace(of("AAA", make_bars(40)), source="upload"), services=services, now=NOW)
    with pytest.raises(NoBarsYet, match="No bars of PEER from upload") as missing:
        latest_bars("AAA", "upload", services=services, peers=("PEER",))
    assert missing.value.facts["peer"] == "PEER"


def test_an_outage_while_peers_are_asked_for_is_bridged_and_said_by_name(
    services: Services, source: TestSource
) -> None:
    source.bars |= {"AAA": make_bars(300), "PEER": make_bars(300, seed=8)}
    before = latest_bars("AAA", "files", services=services, peers=("PEER",))
    source.down = {"PEER"}
    during = latest_bars("AAA", "files", services=services, peers=("PEER",))
    assert during.peers["PEER"].snapshot_id == before.peers["PEER"].snapshot_id
    assert [(problem["code"], problem["peer"]) for problem in during.outages] == [("source_unavailable", "PEER")]
    with services.database.read() as tx:
        assert tickers.get(tx, "AAA")["source_ok"] is True
    source.down = {"MORE"}
    with pytest.raises(SourceUnavailable, match="MORE") as error:
        latest_bars("AAA", "files", services=services, peers=("MORE",))
    assert error.value.facts["peer"] == "MORE"


def test_in_one_run_every_ticker_is_asked_for_once(services: Services, source: TestSource) -> None:
    source.bars |= {"AAA": make_bars(300), "BBB": make_bars(300), "PEER": make_bars(300)}
    feed: Callable[..., RawBars] = Feed(services).bars
    for ticker in ("AAA", "BBB", "PEER"):
        for _ in range(2):
            with pytest.raises(UnknownTicker):
                feed(ticker, "files", peers=("PEER", "NOPE"))
    assert source.asked == ["AAA", "PEER", "NOPE", "BBB"]


def test_a_job_whose_peer_nobody_knows_fails_by_name_before_anything_is_learnt(
    services: Services, source: TestSource
) -> None:
    source.bars["AAA"] = make_bars(600)
    payload = order(READS_PEER).to_dict()
    blank = dict.fromkeys(("progress", "result", "error", "started_at", "finished_at"))
    counted = {"priority": 0, "attempt": 1, "max_attempts": 3, "fence": 1, "cancel_requested": False}
    named = {"job_id": "j", "kind": "train", "ticker": "AAA", "state": "running", "created_at": NOW}
    job = Job(payload=payload, **named, **counted, **blank)
    told: list[str] = []

    def never(*_: object) -> None:
        raise AssertionError("nothing was trained")

    with pytest.raises(UnknownTicker) as error:
        train(job, services=services, report=lambda stage, *_, **__: told.append(stage), complete=never)
    assert error.value.to_problem()["peer"] == "PEER"
    assert told == ["prices"]
