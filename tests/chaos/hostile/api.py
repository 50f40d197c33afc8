"""``morrow api`` that reads its prices from the files in its home folder, whatever the caller's environment says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ["MORROW_SOURCE"] = "files"
    os.environ["MORROW_FILES_DIR"] = str(Path(os.environ["MORROW_HOME"]) / "prices")
    from app.cli.api_process import api  # late: it reads what was set above

    api(host=None, port=int(sys.argv[2]))
