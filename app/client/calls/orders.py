"""Handing in work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack
from uuid import uuid4

from pydantic import BaseModel

from app.api.schemas.catalogue import ArchitecturesOut, NamedOut, PresetOut, PresetsOut
from app.api.schemas.jobs import JobOut, JobsOut
from app.client.call import JSON, Call, Schema, get, json_bytes, reading, taking

Part = Mapping[str, Any] | BaseModel


class Order(TypedDict, total=False):
    """What an order may say beside its tickers; what is left out has a default.

    ``preset`` names a set of defaults and ``spec`` changes single fields of it; ``data`` has ``source``, ``start`` and
    ``end``; ``evaluation`` says how it is judged. Of jobs that wait, the highest ``priority`` goes first.
    ``idempotency_key``: with the same key the same order is one, whoever sends it; else each call makes one.
    """

    preset: str
    spec: Part
    data: Part
    evaluation: Part
    priority: int
    timeout_seconds: int
    idempotency_key: str


class Training(Order, total=False):
    """An order whose outcome is a version: with ``promote`` ``never`` it does not become champion."""

    promote: str


def train(ticker: str, **order: Unpack[Training]) -> Call[JobOut]:
    """Train a version of ``ticker``; the same work already queued or running is answered with that job.

    Options: ``preset``, ``spec``, ``data``, ``evaluation``, ``promote``, ``priority``, ``timeout_seconds``,
    ``idempotency_key``, as in the body of ``POST /v1/train``.

    Raises:
        Invalid: the order cannot work; ``errors`` name its fields, ``facts`` the numbers.
        Unavailable, Unreachable: nobody could take it, and repeating did not help; try again later.
    """
    return hand_in("train", {"ticker": ticker, **order})


def train_many(tickers: Sequence[str], **order: Unpack[Training]) -> Call[JobsOut]:
    """Train several tickers alike, one job each, in their order; options and errors are those of ``train``."""
    return _order("train", {"tickers": list(tickers), **order}, JobsOut)


def train_pool(universe: Sequence[str], **order: Unpack[Training]) -> Call[JobOut]:
    """Train one network on the bars of all of ``universe``: one job, one version a ticker, each judged alone.

    Options and errors are those of ``train``.
    """
    return hand_in("train", {"preset": "pooled", **order, "universe": list(universe)})


def adopt(ticker: str, **order: Unpack[Training]) -> Call[JobOut]:
    """Give ``ticker`` a version of the newest pooled network without fitting; options are those of ``train``.

    Raises:
        Conflict: there is no pooled network yet; ``train_pool`` makes one.
        Invalid, Unavailable, Unreachable: as ``train``.
    """
    return hand_in("train", {**order, "preset": "pooled", "ticker": ticker})


def tune(ticker: str, *, search: Part | None = None, **order: Unpack[Order]) -> Call[JobOut]:
    """Search the best spec; the job's result is a ``SearchOut`` whose ``train`` is an order for the best.

    ``search`` has ``method``, ``max_epochs``, ``factor``, ``budget_seconds``, ``trials``, ``seed`` and ``space``; other
    options and errors are those of ``train``.
    """
    return hand_in("tune", {"ticker": ticker, **({} if search is None else {"search": search}), **order})


def backtest(ticker: str, **order: Unpack[Order]) -> Call[JobOut]:
    """Judge a network out of sample and register nothing; the job's result is a ``BacktestOut``.

    Options and errors are those of ``train``.
    """
    return hand_in("backtest", {"ticker": ticker, **order})


def refresh(*, idempotency_key: str | None = None) -> Call[JobOut]:
    """Fetch new bars and issue new forecasts for all that is served; one already under way is answered with that job.

    Raises:
        Unavailable, Unreachable: nobody could take it, and repeating did not help; try again later.
    """
    return hand_in("refresh", {} if idempotency_key is None else {"idempotency_key": idempotency_key})


def presets() -> Call[list[PresetOut]]:
    """Return the presets with the spec, evaluation, data and search that each stands for.

    Raises:
        Unavailable, Unreachable: nobody could answer.
    """
    return taking(get("/v1/presets", PresetsOut), lambda page: page.items)


def architectures() -> Call[list[NamedOut]]:
    """Return the kinds of network that an order can name.

    Raises:
        Unavailable, Unreachable: nobody could answer.
    """
    return taking(get("/v1/architectures", ArchitecturesOut), lambda page: page.items)


def hand_in(kind: str, body: Mapping[str, Any]) -> Call[JobOut]:
    """Hand in an order of ``kind`` whose body is complete; an ``idempotency_key`` in it becomes the header."""
    return _order(kind, body, JobOut)


def _order(kind: str, body: Mapping[str, Any], schema: type[Schema]) -> Call[Schema]:
    """Make the call; its key is made once, so that repeating it makes no second job."""
    asked = {name: value for name, value in body.items() if value is not None and name != "idempotency_key"}
    key = body.get("idempotency_key") or uuid4().hex
    return Call(
        method="POST",
        path=f"/v1/{kind}",
        read=reading(schema),
        headers={"content-type": JSON, "idempotency-key": key},
        content=json_bytes(asked),
        repeatable=True,
    )
