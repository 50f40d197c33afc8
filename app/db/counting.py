"""Numbers that only grow, kept in the registry for all processes."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from app.db.tables import counters
from app.db.upsert import insert

#: Jobs taken away from workers that fell silent.
LEASE_EXPIRIES = "lease_expiries"
#: Times that a worker met a file that is not what was registered.
CORRUPT_ARTIFACTS = "corrupt_artifacts"


def add(tx: Connection, name: str, amount: int = 1) -> int:
    """Add to the counter and return it; until the transaction ends nobody else can."""
    first = insert(tx, counters).values(name=name, value=amount)
    grown = first.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + amount})
    value: int = tx.execute(grown.returning(counters.c.value)).scalar_one()
    return value


def read(tx: Connection, names: Sequence[str]) -> dict[str, int]:
    """Return the counters by name, 0 before their first."""
    rows = tx.execute(select(counters.c.name, counters.c.value).where(counters.c.name.in_(names)))
    return {**dict.fromkeys(names, 0), **{row.name: row.value for row in rows}}
