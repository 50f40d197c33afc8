"""Lists of objects that do not end as they should."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.errors import StoreUnavailable


@pytest.mark.parametrize("how", ["untold", "round"])
def test_a_listing_that_has_more_and_does_not_lead_there_is_an_outage_and_sweeps_nothing(s3, how):
    s3.write("0123456789abcdef/1/model.onnx", b"")
    s3.server.fail_request(1, how, tries=1000)
    with pytest.raises(StoreUnavailable) as caught:
        s3.store.sweep(set(), older_than_seconds=0, now=datetime.now(UTC))
    assert caught.value.facts["reason"] == "endless_listing"
    assert s3.names() == ["0123456789abcdef/1/model.onnx"]
