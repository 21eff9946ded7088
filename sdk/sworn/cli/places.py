"""Where the command keeps and looks for things."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

#: Deployment files, keys and cached artifacts.
HOME: Final = Path("~/.sworn")
#: Where a private key is looked for when no key is named; for tests and throw-away chains.
PRIVATE_KEY_VARIABLE: Final = "SWORN_PRIVATE_KEY"
#: Where common options come from that are not given.
VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "rpc": "SWORN_RPC",
        "deployment": "SWORN_DEPLOYMENT",
        "config": "SWORN_CONFIG",
        "keystore": "SWORN_KEYSTORE",
        "password_file": "SWORN_PASSWORD_FILE",
    }
)
#: All variables of ours that are no settings.
OTHER_VARIABLES: Final = frozenset({*VARIABLES.values(), PRIVATE_KEY_VARIABLE, "SWORN_DEPLOYMENTS"})
