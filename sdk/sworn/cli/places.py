"""Where the command keeps and looks for things."""

from __future__ import annotations

from pathlib import Path
from typing import Final

#: Deployment files, keys and cached artifacts.
HOME: Final = Path("~/.sworn")
#: Where a private key is looked for when no key is named; for tests and throw-away chains.
PRIVATE_KEY_VARIABLE: Final = "SWORN_PRIVATE_KEY"
