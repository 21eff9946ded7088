"""Which versions are installed."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Final

DISTRIBUTION: Final = "sworn-oracle"
#: What sworn stands on, by distribution; those of the extras may be missing.
PACKAGES: Final = ("web3", "eth-account", "onnx", "onnxruntime", "numpy")
NODE_PACKAGES: Final = ("SQLAlchemy", "alembic", "pydantic", "pydantic-settings", "structlog")
WEB_PACKAGES: Final = ("prometheus-client", "starlette", "uvicorn")
TESTER_PACKAGES: Final = ("eth-tester", "py-evm")


def installed(distribution: str) -> str | None:
    """The installed version of a distribution; None when it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def version_facts() -> dict[str, str | None]:
    """Versions by name."""
    names = (*PACKAGES, *NODE_PACKAGES, *WEB_PACKAGES, *TESTER_PACKAGES)
    return {
        # From a bare checkout on the path nothing is installed under this name.
        "sworn": installed(DISTRIBUTION) or "not installed",
        "python": platform.python_version(),
        **{name: installed(name) for name in names},
    }
