from __future__ import annotations

from tests.api.conftest import client, clock, services, template  # noqa: F401 - fixtures
