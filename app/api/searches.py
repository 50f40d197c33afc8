"""From a request to a search that can work: every choice is checked like the field of an order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from app.api.schemas.orders import SpecIn
from app.api.schemas.search import TuneMany, TuneOne
from app.api.submission import order_of, refuse_early
from app.domain.presets import preset_of
from app.domain.search import BESIDE_BUDGET_SECONDS, Search, TuningOrder
from app.domain.search_space import Choices, Dimension, Range, as_changes
from app.errors import AppError, InvalidSpec
from app.forecasting.services import Services


def search_of(body: TuneOne | TuneMany, ticker: str, *, services: Services) -> TuningOrder:
    """Build the domain's order for ``ticker``; the job's time limit leaves room for the search's budget.

    Raises:
        InvalidSpec, UnknownPreset, UnknownArchitecture: the order contradicts itself or names nothing.
    """
    order = order_of(body, ticker, services=services)
    asked = body.search.model_dump(mode="json", exclude_unset=True)
    whole = {**(preset_of(order.preset).search or {}), **{n: value for n, value in asked.items() if value is not None}}
    search = Search.from_dict(whole, order.spec)
    checked = {name: _checked(name, dimension) for name, dimension in search.space.items()}
    need = search.budget_seconds + BESIDE_BUDGET_SECONDS
    if body.timeout_seconds is not None and body.timeout_seconds < need:
        detail = f"A search of {search.budget_seconds} seconds needs a time limit of {need}."
        raise InvalidSpec(detail, pointer="/timeout_seconds", have=body.timeout_seconds, need=need)
    limited = replace(order, timeout_seconds=max(order.timeout_seconds, need))
    return TuningOrder(order=limited, search=replace(search, space=checked))


def refuse_searches_early(orders: Sequence[TuningOrder], *, services: Services, is_list: bool) -> None:
    """Refuse what cannot work, as ``refuse_early`` does, for whatever the space may lead to.

    Raises:
        UnknownSource, UnknownTicker, NoBarsYet: there are no such bars.
        InvalidSpec, InvalidBars, NotEnoughHistory: these bars cannot fill the order (``have``, ``need``).
    """
    widest = [replace(order.order, spec=order.widest) for order in orders]
    try:
        refuse_early(widest, services=services, is_list=is_list, samples=orders[0].fewest_samples)
    except AppError as error:
        features = orders[0].search.space.get("features")
        if features and (error.pointer or "").startswith("/spec/features"):
            error.pointer = features.pointer
        raise


def _checked(name: str, dimension: Dimension) -> Dimension:
    """Return the dimension with its values as a spec takes them: ``2.0`` bars are 2.

    Raises:
        InvalidSpec: a value is none that the field may have.
    """
    values = [_value(name, value, dimension.pointer) for value in dimension.values]
    if isinstance(dimension, Range):
        return replace(dimension, low=values[0], high=values[-1])
    return Choices(values=tuple(values), pointer=dimension.pointer)


def _value(name: str, value: Any, pointer: str) -> Any:
    """Return what a spec makes of one value, named as by a request."""
    try:
        taken = SpecIn.model_validate(as_changes({name: value})).model_dump(mode="json", exclude_unset=True)
    except ValidationError as refusal:
        raise InvalidSpec(f"{name}: {refusal.errors()[0]['msg']}", pointer=pointer, choice=value) from None
    for part in name.split("."):
        taken = taken[part]
    return taken
