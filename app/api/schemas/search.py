"""A search as it comes in: an order, and what of its spec may vary."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from app.api.schemas.common import Document, Integer, Json, Request, Ticker
from app.api.schemas.orders import OptimizerIn, SpecIn, TrainMany, TrainOne
from app.domain.search import BESIDE_BUDGET_SECONDS
from app.domain.search_space import MOST_CHOICES, SEARCHABLE, WITH_RANGE

LONGEST_BUDGET = 86_400 - BESIDE_BUDGET_SECONDS  # a job has a day

_OPTIMIZER = "optimizer."


def _list_of(name: str) -> dict[str, Any]:
    """Describe choices of a field: each is one that an order may have."""
    parent, _, child = name.rpartition(".")
    field = (OptimizerIn if parent else SpecIn).model_json_schema()["properties"][child]
    item = {key: value for key, value in field.items() if key not in {"default", "description", "title"}}
    return {"type": "array", "items": item, "minItems": 1, "maxItems": MOST_CHOICES}


def _space_schema(schema: dict[str, Any]) -> None:
    """Document the searchable fields; what else is sent is refused with what is known."""
    number = {"type": "number"}
    ends = {"low": number, "high": number, "step": {**number, "exclusiveMinimum": 0}, "log": {"type": "boolean"}}
    span = {"type": "object", "properties": ends, "required": ["low", "high"], "additionalProperties": False}
    lists = {name: _list_of(name) for name in SEARCHABLE}
    fields = {name: {"anyOf": [lists[name], span]} if name in WITH_RANGE else lists[name] for name in SEARCHABLE}
    nested = {name.removeprefix(_OPTIMIZER): part for name, part in fields.items() if name.startswith(_OPTIMIZER)}
    optimizer = {"type": "object", "properties": nested, "additionalProperties": False}
    schema.clear()
    schema |= {
        "type": ["object", "null"],
        "minProperties": 1,
        "properties": {**fields, "optimizer": optimizer},
        "additionalProperties": False,
        "description": "Fields of the spec with their choices, or with a range (`low`, `high`, and `step` or `log`); "
        "`optimizer` may also hold its fields. Absent: the preset's, else layer sizes, dropout and learning rate.",
        "examples": [
            {
                "units": [[32], [64], [128, 64]],
                "dropout": [0, 0.1, 0.2],
                "optimizer.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
                "window": {"low": 10, "high": 60, "step": 10},
            }
        ],
    }


class SearchIn(Request):
    """Single fields over those of the preset's search; the defaults shown are those without one."""

    method: Literal["hyperband", "random", "grid"] = Field(
        "hyperband", description="`hyperband` ends trials that fall behind, `random` draws points, `grid` takes all."
    )
    max_epochs: Integer | None = Field(
        None, ge=1, le=1000, description="Epochs of a whole trial. Absent: 27 for hyperband, else those of the spec."
    )
    factor: Integer = Field(3, ge=2, le=10, description="Hyperband lets one trial in so many go on.")
    budget_seconds: Integer = Field(
        1800, ge=10, le=LONGEST_BUDGET, description="Work over all attempts; then the search answers with what it has."
    )
    trials: Integer = Field(20, ge=1, le=1000, description="Counts for random.")
    seed: Integer = Field(7, ge=0, le=2**31 - 1, description="Decides which points are tried.")
    space: dict[str, Any] | None = Field(None, json_schema_extra=_space_schema)


class TuneOne(TrainOne):
    """Search the best spec for one ticker; everything but the ticker has a default."""

    search: SearchIn = SearchIn()


class TuneMany(TrainMany):
    """Search the best spec for each of several tickers, one job each."""

    # Every choice of the space is checked for every ticker while the caller waits.
    tickers: list[Ticker] = Field(min_length=1, max_length=50, json_schema_extra={"uniqueItems": True})
    search: SearchIn = SearchIn()


def _one_or_many(value: Any) -> str:
    named = "tickers" in value if isinstance(value, dict) else isinstance(value, TuneMany)
    return "many" if named else "one"


TuneIn = Annotated[
    Annotated[TuneOne, Tag("one")] | Annotated[TuneMany, Tag("many")],
    Discriminator(_one_or_many),
]


class TrialOut(Document):
    """One trial of a search."""

    rank: int
    state: Literal["complete", "pruned", "diverged"] = Field(
        description="`pruned`: ended because it fell behind; `diverged`: its loss was not a number."
    )
    value: float | None = Field(description="The metric on the validation sessions; null unless `complete`.")
    epochs: int
    seconds: float
    changes: Json = Field(description="What it changed in the spec of the order.")


class BaselineOut(Document):
    """What repeating the last value, as wide as lately, scores on the same sessions."""

    name: str
    value: float


class ValidationOut(Document):
    """The sessions that all trials were compared on: the newest part of what the first test leaves to training."""

    sessions: int
    first_session: str
    last_session: str


class SearchOut(Document):
    """The result of a job of kind `tune`."""

    method: str
    metric: Literal["crps"] = Field(description="Mean CRPS of log returns; lower is better.")
    trials: int = Field(description="Trials that ended.")
    planned_trials: int = Field(description="Trials that the method makes when time allows.")
    pruned: int
    seconds: float
    budget_used_up: bool
    validation: ValidationOut
    baseline: BaselineOut
    leaderboard: list[TrialOut] = Field(description="The best first; 100 at most.")
    best_spec: Json
    train: Json = Field(description="A body for `POST /v1/train` that trains the best spec.")
