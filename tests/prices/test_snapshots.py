from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from datetime import date
from types import MappingProxyType

import numpy as np
import pytest

from app.domain.history import Action
from app.errors import CorruptArtifact, StoreUnavailable
from app.prices.snapshots import SnapshotStore
from tests.prices.making import changed, walk

COLUMNS = ("sessions", "open", "high", "low", "close", "adj_close", "volume")


@pytest.fixture
def history():
    plain = changed(walk(), volume={3: np.nan}, close={4: 0.1 + 0.2, 5: 1e-300})
    extra = MappingProxyType({"weighted_price": plain.bars.close / 3, "a": plain.bars.open})
    return replace(
        plain,
        bars=replace(plain.bars, extra=extra),
        currency="USD",
        timezone="America/New_York",
        instrument="EQUITY",
        price_basis="split_adjusted",
        actions=(Action(session=date(2015, 1, 5), kind="split", value=2.0),),
    )


def test_a_snapshot_comes_back_bit_for_bit(tmp_path, history):
    store = SnapshotStore(tmp_path)
    back = store.load(store.save(history))
    for name in COLUMNS:
        assert getattr(back.bars, name).tobytes() == getattr(history.bars, name).tobytes()
        assert getattr(back.bars, name).dtype == getattr(history.bars, name).dtype
    assert {name: values.tolist() for name, values in back.bars.extra.items()} == {
        name: values.tolist() for name, values in history.bars.extra.items()
    }
    for name in ("ticker", "source", "currency", "timezone", "instrument", "price_basis", "actions"):
        assert getattr(back, name) == getattr(history, name)


def test_the_name_is_the_hash_of_the_text_on_disk(tmp_path, history):
    snapshot_id = SnapshotStore(tmp_path).save(history)
    (path,) = tmp_path.iterdir()
    assert path.stem == snapshot_id.removeprefix("sha256:")
    assert hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest() == path.stem


def test_the_same_history_has_the_same_name_and_bytes_everywhere(tmp_path, history):
    first, second = SnapshotStore(tmp_path / "a"), SnapshotStore(tmp_path / "b")
    assert first.save(history) == second.save(history) == first.save(history)
    (one,), (other,) = list((tmp_path / "a").iterdir()), list((tmp_path / "b").iterdir())
    assert one.read_bytes() == other.read_bytes()


def test_another_value_or_fact_makes_another_name(tmp_path, history):
    store = SnapshotStore(tmp_path)
    ids = {store.save(h) for h in (history, changed(history, close={9: 7.0}), replace(history, currency="EUR"))}
    assert len(ids) == 3


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: b"", lambda data: gzip.compress(b"other\n")])
def test_a_damaged_file_is_noticed_and_saving_again_mends_it(tmp_path, history, damage):
    store = SnapshotStore(tmp_path)
    snapshot_id = store.save(history)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptArtifact):
        store.load(snapshot_id)
    store.save(history)
    assert len(store.load(snapshot_id)) == 60


@pytest.mark.parametrize("snapshot_id", ["sha256:" + "0" * 64, "sha256:../../secret", "", "latest"])
def test_a_name_without_a_file_is_refused(tmp_path, snapshot_id):
    with pytest.raises(CorruptArtifact):
        SnapshotStore(tmp_path).load(snapshot_id)


def test_a_disk_that_refuses_leaves_nothing_behind(tmp_path, history):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(StoreUnavailable):
        SnapshotStore(blocked).save(history)
    assert blocked.read_text() == "in the way"
