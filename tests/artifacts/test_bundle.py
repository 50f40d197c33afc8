from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from app.artifacts.base import MANIFEST
from app.artifacts.bundle import FILES, Bundle, bundle_key, load_bundle, to_files
from app.errors import CorruptArtifact


def a_bundle() -> Bundle:
    weights = io.BytesIO()
    np.savez(weights, kernel=np.arange(6.0).reshape(2, 3))
    return Bundle(
        onnx=b"\x08\x08onnx",
        weights=weights.getvalue(),
        spec={"window": 60, "features": ["close"]},
        scalers={"center": [0.1 + 0.2], "scale": [1e-308]},
        scorecard={"skill": {"value": 1 / 3, "ci95": None}},
        golden={"window": [[1.0000000000000002]], "output": [0.5]},
        predictions={"actual": [1.0], "predicted": [None]},
        fitted={"actual": [2.0], "predicted": [1.9]},
        path={"step": [1], "session": [None]},
        curves={"loss": [0.3, 0.1]},
        folds=b"PK folds",
    )


def test_a_bundle_comes_back_from_the_store_to_the_last_bit(store, place):
    key = bundle_key("^GSPC", 3)
    manifest = store.publish(key, to_files(a_bundle()))
    assert load_bundle(store, key, manifest["files"]) == a_bundle()
    assert set(manifest["files"]) == {
        *("model.onnx", "weights.npz", "spec.json", "scalers.json", "scorecard.json", "golden.json"),
        *("predictions.json", "fitted.json", "path.json", "curves.json", "folds.zip"),
    }
    assert place.names() == sorted(f"{key}/{name}" for name in (*manifest["files"], MANIFEST))


@pytest.mark.parametrize("name", FILES.values())
def test_one_flipped_byte_in_any_file_is_found(store, place, name):
    key = bundle_key("AAPL", 1)
    manifest = store.publish(key, to_files(a_bundle()))
    damaged = bytearray(place.read(f"{key}/{name}"))
    damaged[len(damaged) // 2] ^= 1
    place.write(f"{key}/{name}", bytes(damaged))
    with pytest.raises(CorruptArtifact) as caught:
        load_bundle(store, key, manifest["files"])
    assert caught.value.facts["name"] == name


def test_a_file_that_was_never_registered_is_not_served(store):
    key = bundle_key("AAPL", 1)
    files = dict(store.publish(key, to_files(a_bundle()))["files"])
    del files["golden.json"]
    with pytest.raises(CorruptArtifact, match=r"golden\.json"):
        load_bundle(store, key, files)


def test_a_network_of_one_ticker_comes_without_folds(store):
    alone = replace(a_bundle(), folds=None)
    manifest = store.publish(bundle_key("AAPL", 1), to_files(alone))
    assert "folds.zip" not in manifest["files"]
    assert load_bundle(store, bundle_key("AAPL", 1), manifest["files"]) == alone


def test_nan_never_gets_into_a_bundle():
    with pytest.raises(ValueError, match="JSON compliant"):
        to_files(replace(a_bundle(), curves={"loss": [float("nan")]}))


def test_the_key_hides_the_ticker_and_ends_in_the_number():
    assert bundle_key("../../etc/passwd", 12).endswith("/12")
    assert bundle_key("AAPL", 1) == "1eb44d625271a4eb/1"
    assert bundle_key("AAPL", 1).split("/")[0] != bundle_key("AAPl", 1).split("/")[0]
