"""The client for those who await."""

from __future__ import annotations

from app.client.async_sending import AsyncSender, follows, holds, holds_many, lists, lists_jobs, runs, sends
from app.client.calls import forecasts as said
from app.client.calls import jobs as work
from app.client.calls import market, orders
from app.client.calls import models as made


class AsyncClient(AsyncSender):
    """The whole API as coroutines, and lists to iterate over with ``async for``.

    ``url`` is the service's address, with the prefix of a proxy if there is one, and ``key`` is what it asks for:
    without one, what ``MORROW_API_KEY`` holds. ``timeout`` are the seconds without a
    byte after which an answer is given up, ``attempts`` how often a call is sent that may be repeated, and ``headers``
    go with each of them. It is closed at the end of its ``async with`` block, or by ``close``.

    Raises:
        ValueError: ``url`` is no address of HTTP, or the key has characters that no key has.
    """

    train = holds(orders.train)
    train_many = holds_many(orders.train_many)
    train_pool = holds(orders.train_pool)
    adopt = holds(orders.adopt)
    tune = holds(orders.tune)
    backtest = holds(orders.backtest)
    refresh = holds(orders.refresh)
    hand_in = holds(orders.hand_in)
    presets = sends(orders.presets)
    architectures = sends(orders.architectures)

    job = holds(work.job)
    jobs = lists_jobs(work.jobs)
    cancel = holds(work.cancel)
    events = follows(work.events)

    forecast = sends(said.forecast)
    forecasts = runs(said.forecasts)
    forecast_columns = runs(said.forecast_columns)
    series = sends(said.series)
    forecast_bars = sends(said.forecast_bars)
    history = lists(said.history)
    scores = lists(said.scores)
    overall_scores = sends(said.overall_scores)

    models = lists(made.models)
    versions = lists(made.versions)
    version = sends(made.version)
    scorecard = sends(made.scorecard)
    predictions = sends(made.predictions)
    fitted = sends(made.fitted)
    path = sends(made.path)
    curves = sends(made.curves)
    artifact = sends(made.artifact)
    delete = sends(made.delete)
    alias = sends(made.alias)
    alias_history = sends(made.alias_history)
    promote = runs(made.promote)
    remove_alias = runs(made.remove_alias)
    rollback = sends(made.rollback)

    bars = sends(market.bars)
    upload_bars = sends(market.upload_bars)
    peers = sends(market.peers)
    ready = sends(market.ready)
