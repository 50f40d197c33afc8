"""From a request for training to orders: a network a ticker, one on a universe, or the newest of those adopted."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from app.api.schemas.orders import TrainMany, TrainOne, TrainPool
from app.api.submission import AtHand, asked_of, naming_order, order_of, refuse_early
from app.domain.order import POOLED, Evaluation, TrainingOrder
from app.domain.overrides import merged_spec
from app.domain.pooled import PooledOrder
from app.domain.spec import NetworkSpec
from app.forecasting.market_data import check_columns
from app.forecasting.peers import naming_ticker
from app.forecasting.pooled import adoption_of, make_member, make_pool, newest_pooled, refuse_changes
from app.forecasting.services import Services


def orders_of(body: TrainOne | TrainMany | TrainPool, *, services: Services) -> Sequence[TrainingOrder | PooledOrder]:
    """Build the orders, one a job, and refuse what cannot work as far as that is known here.

    Raises:
        NoPooledModel: the network to adopt is not there; train one on a universe.
        UnknownSource, UnknownTicker, NoBarsYet: there are no such bars, of ``ticker``.
        InvalidSpec, InvalidBars, NotEnoughHistory: the bars of ``ticker`` cannot fill the order (``have``, ``need``).
        UnknownPreset, UnknownArchitecture: the order names nothing.
    """
    if isinstance(body, TrainPool):
        return [_pooled_order_of(body, services=services)]
    is_list = isinstance(body, TrainMany)
    tickers = body.tickers if isinstance(body, TrainMany) else [body.ticker]
    if body.preset == POOLED:
        return _adoptions_of(body, tickers, services=services, is_list=is_list)
    orders = [order_of(body, ticker, services=services) for ticker in tickers]
    refuse_early(orders, services=services, is_list=is_list)
    return orders


def _pooled_order_of(body: TrainPool, *, services: Services) -> PooledOrder:
    """Build the order to fit one network on a universe."""
    order = PooledOrder.from_dict({**asked_of(body, services=services), "universe": body.universe})
    at_hand, bars = AtHand(services), {}
    for index, ticker in enumerate(body.universe):
        with naming_ticker(ticker, f"/universe/{index}"):
            bars[ticker] = at_hand.bars(ticker, order.orders[0].data.source)
    here = {ticker: one for ticker, one in bars.items() if one}
    if len(here) == len(bars):
        make_pool(order, here)
    else:
        check_columns(order.spec)
    return order


def _adoptions_of(body: BaseModel, tickers: Sequence[str], *, services: Services, is_list: bool) -> list[TrainingOrder]:
    """Build the orders to adopt the newest pooled network, which is taken as it is."""
    asked = [order_of(body, ticker, services=services) for ticker in tickers]
    with services.database.read() as tx:
        version, network = newest_pooled(tx)
    orders = [adoption_of(order, version) for order in asked]
    said = asked_of(body, services=services)
    evaluation: Evaluation | None = asked[0].evaluation if "evaluation" in said else None
    spec = NetworkSpec.from_dict(merged_spec(orders[0].spec.to_dict(), said["spec"])) if "spec" in said else None
    refuse_changes(orders[0], spec=spec, evaluation=evaluation)
    at_hand = AtHand(services)
    for index, order in enumerate(orders):
        with naming_order(order, f"/tickers/{index}" if is_list else None):
            bars = at_hand.bars(order.ticker, order.data.source)
            if bars is None:
                check_columns(order.spec)
            else:
                make_member(order, bars, network)
    return orders
