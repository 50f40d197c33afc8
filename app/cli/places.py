"""The place that a command was told to work at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from app.cli.place import Place


@contextlib.contextmanager
def place(url: str | None, *, new: bool = True) -> Iterator[Place]:
    """Open the service at ``url``; without one, the registry of this machine, which without ``new`` has to be there."""
    if url is not None:
        # Each of the two does without what the other needs.
        from app.cli.there import there

        with there(url) as place:
            yield place
        return
    # As above.
    from app.cli.here import Here
    from app.cli.services import quiet_services

    with quiet_services(new=new) as services:
        yield Here(services)
