from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.access import Scope, parts_of
from app.registry import audit, keys

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def make(tx, name="poller", scope=Scope.READ, **options):
    return keys.create(tx, name=name, scope=scope, by="cli", now=NOW, **options)


def test_a_key_is_kept_without_its_secret_and_known_by_it(database):
    with database.write() as tx:
        key, token = make(tx, scope=Scope.TRAIN, expires_at=NOW + timedelta(days=1))
    with database.read() as tx:
        (kept,) = keys.all_keys(tx)
    key_id, secret = parts_of(token)
    assert (kept, kept.key_id, kept.scope) == (key, key_id, Scope.TRAIN)
    assert secret not in repr(kept)
    assert kept.is_of(secret)
    assert not kept.is_of(secret[:-1] + "~")
    assert [kept.fault(NOW + timedelta(days=days)) for days in (0, 1, 2)] == [None, "expired", "expired"]


def test_no_two_keys_are_alike(database):
    with database.write() as tx:
        tokens = {make(tx)[1] for _ in range(50)}
        assert len(tokens) == len({token[:12] for token in tokens}) == len(keys.all_keys(tx)) == 50


def test_the_revision_grows_with_every_change_and_with_nothing_else(database):
    with database.write() as tx:
        assert (keys.revision(tx), keys.is_any(tx)) == (0, False)
        key, _ = make(tx)
        first = keys.revision(tx)
        keys.note_use(tx, [key.key_id], now=NOW)
        assert keys.revision(tx) == first > 0
        keys.revoke(tx, key.key_id, by="cli", now=NOW)
        second = keys.revision(tx)
        keys.revoke(tx, key.key_id, by="cli", now=NOW + timedelta(days=1))
        assert keys.revision(tx) == second > first
        assert keys.is_any(tx)
        assert keys.get(tx, key.key_id).revoked_at == NOW
        assert keys.get(tx, key.key_id).fault(NOW) == "revoked"


def test_use_is_written_down_once_a_minute(database):
    with database.write() as tx:
        key, _ = make(tx)
        seen = []
        for seconds in (0, 59, 60, 61):
            keys.note_use(tx, [key.key_id, "nobodys0"], now=NOW + timedelta(seconds=seconds))
            seen.append((keys.get(tx, key.key_id).last_used_at - NOW).total_seconds())
    assert seen == [0, 0, 60, 60]


@pytest.mark.parametrize("wrong", [{"name": ""}, {"name": "x" * 65}, {"name": "a\nb"}, {"expires_at": NOW}])
def test_a_key_that_makes_no_sense_is_refused(database, wrong):
    with pytest.raises(keys.InvalidKey), database.write() as tx:
        make(tx, **wrong)


def test_an_unknown_key_is_missing(database):
    with database.write() as tx, pytest.raises(keys.NoSuchKey):
        keys.revoke(tx, "nobodys0", by="cli", now=NOW)


def test_a_change_and_its_entry_stand_or_fall_together(database):
    with database.write() as tx:
        key, _ = make(tx)
        keys.revoke(tx, key.key_id, by="me (abcdefgh)", now=NOW + timedelta(hours=1))
    with pytest.raises(ZeroDivisionError), database.write() as tx:
        make(tx)
        raise ZeroDivisionError
    with database.read() as tx:
        revoked, created = audit.newest(tx, limit=10)
        assert audit.newest(tx, limit=1) == [revoked]
        assert len(keys.all_keys(tx)) == 1
    assert (revoked.action, revoked.who, revoked.subject) == (audit.KEY_REVOKED, "me (abcdefgh)", key.key_id)
    assert (created.action, created.at, created.facts["scope"]) == (audit.KEY_CREATED, NOW, "read")


def test_a_scope_includes_those_below():
    allowed = {have: [need for need in Scope if have.includes(need)] for have in Scope}
    assert [len(allowed[scope]) for scope in (Scope.READ, Scope.TRAIN, Scope.ADMIN)] == [1, 2, 3]
