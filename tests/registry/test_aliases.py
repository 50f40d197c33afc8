from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.domain.version import AliasChange
from app.errors import NoModelYet, NoSuchAlias, NoSuchVersion
from app.registry import aliases, editions, tickers, versions
from tests.registry.models import NOON, after, train


def champion(tx, version: int, seconds: float = 0) -> AliasChange:
    return aliases.point(tx, "AAPL", "champion", version, by="me", reason="better", now=after(seconds))


def test_an_alias_points_where_it_was_last_pointed(database):
    with database.write() as tx:
        train(tx)
        train(tx)
        assert aliases.current(tx, "AAPL", "champion") is None
        change = champion(tx, 1)
        assert change == AliasChange(
            ticker="AAPL",
            alias="champion",
            version=1,
            previous=None,
            changed_at=NOON,
            changed_by="me",
            reason="better",
        )
        assert champion(tx, 2, 1).previous == 1
        assert aliases.current(tx, "AAPL", "champion") == 2
        aliases.point(tx, "AAPL", "candidate", 1, by="me", reason="", now=NOON)
        assert aliases.all_aliases(tx, "AAPL") == {"candidate": 1, "champion": 2}
        assert aliases.aliased(tx, ["AAPL", "MSFT"]) == [("AAPL", "candidate", 1), ("AAPL", "champion", 2)]
        assert aliases.aliased(tx, ["MSFT"]) == []
        assert (aliases.count(tx, "champion"), aliases.count(tx, "other")) == (1, 0)


def test_an_alias_cannot_point_to_what_is_not_there(database):
    with database.write() as tx:
        with pytest.raises(NoModelYet):
            champion(tx, 1)
        train(tx)
        with pytest.raises(NoSuchVersion):
            champion(tx, 2)
        assert aliases.history(tx, "AAPL", "champion") == []


def test_the_history_keeps_every_change_newest_first(database):
    with database.write() as tx:
        train(tx)
        train(tx)
        changes = [champion(tx, 1, 0), champion(tx, 2, 10)]
        changes.append(aliases.remove(tx, "AAPL", "champion", by="you", reason="bad", now=after(20)))
        assert aliases.current(tx, "AAPL", "champion") is None
        assert aliases.history(tx, "AAPL", "champion") == changes[::-1]
        assert aliases.history(tx, "AAPL", "champion", as_of=after(10)) == changes[1::-1]
        assert aliases.history(tx, "AAPL", "champion", as_of=after(-1)) == []
    assert (changes[2].version, changes[2].previous, changes[2].changed_by) == (None, 2, "you")


def test_an_alias_that_does_not_exist_cannot_be_taken_away(database):
    with pytest.raises(NoSuchAlias), database.write() as tx:
        aliases.remove(tx, "AAPL", "champion", by="me", reason="", now=NOON)


@pytest.mark.parametrize(
    ("moves", "previous"),
    [
        ([], None),
        ([1], None),
        ([1, 2], 1),
        ([1, 2, 3], 2),
        ([1, 2, 3, "2"], 1),
        ([1, 2, 3, "2", "1"], None),
        ([1, 2, "1", 3], 1),
        ([1, 2, 3, 1], 3),
        ([1, 2, 3, 1, "3"], 2),
        ([1, 2, 2], 1),
        ([1, 2, None], 2),
        ([1, None, 2, None], 2),
        ([1, None, 2], 1),
        ([1, 4, 2], 1),
        ([1, 4, 3, 2], 3),
        ([3, 4, 3], None),
    ],
    ids=str,
)
def test_a_rollback_leads_to_the_version_before_that_still_exists(database, moves, previous):
    with database.write() as tx:
        for _ in range(4):
            train(tx)
        for second, version in enumerate(moves):
            if version is None:
                aliases.remove(tx, "AAPL", "champion", by="me", reason="", now=after(second))
            elif isinstance(version, str):
                at = after(second)
                aliases.point(tx, "AAPL", "champion", int(version), by="me", reason=aliases.ROLLBACK, now=at)
            else:
                champion(tx, version, second)
        if 4 in moves:
            versions.delete(tx, "AAPL", 4)
        assert aliases.previous(tx, "AAPL", "champion") == previous


def test_damage_is_known_since_it_was_found_first(database):
    with database.write() as tx:
        train(tx)
        for moment in (after(1), after(2)):
            versions.note_damage(tx, "AAPL", 1, at=moment)
        assert versions.get(tx, "AAPL", 1).damaged_at == after(1)


def test_every_change_begins_a_new_edition(database):
    with database.write() as tx:
        train(tx)
        seen = [editions.current(tx)]
        champion(tx, 1)
        seen.append(editions.current(tx))
        aliases.remove(tx, "AAPL", "champion", by="me", reason="", now=NOON)
        seen.append(editions.current(tx))
        versions.delete(tx, "AAPL", 1)
        seen.append(editions.current(tx))
    assert seen == sorted(set(seen))


def test_every_change_makes_the_ticker_due_for_a_refresh(database):
    with database.write() as tx:
        train(tx)
        for change in (
            lambda: champion(tx, 1),
            lambda: aliases.remove(tx, "AAPL", "champion", by="me", reason="", now=NOON),
        ):
            tickers.set_next_update(tx, "AAPL", after(3600))
            assert tickers.due(tx, now=NOON) == []
            change()
            assert tickers.due(tx, now=NOON) == ["AAPL"]


def test_who_compares_under_the_lock_is_never_overtaken(database):
    with database.write() as tx:
        for _ in range(9):
            train(tx)
        champion(tx, 1)

    def promote(version: int) -> bool:
        with database.write() as tx:
            tickers.lock(tx, "AAPL")
            if aliases.current(tx, "AAPL", "champion") != 1:
                return False
            champion(tx, version, version)
            return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(promote, range(2, 10))).count(True) == 1
    with database.read() as tx:
        assert len(aliases.history(tx, "AAPL", "champion")) == 2
