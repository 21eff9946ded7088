from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Runs in the new environment: everything that is not code has to come out of the wheel.
PROBE = """
import importlib.resources, pathlib, sys
import sworn, sworn.abi
package = pathlib.Path(sworn.__file__)
assert package.is_relative_to(sys.prefix), package
assert (importlib.resources.files("sworn") / "_abi" / "InferenceOracle.json").is_file()
assert sworn.abi.interface("InferenceOracle").bytecode
assert (package.parent / "py.typed").is_file()
print(sworn.__version__)
"""


@pytest.mark.slow
@pytest.mark.acceptance
def test_distribution_built_from_its_own_sdist_works_outside_the_checkout(tmp_path: Path) -> None:
    """The wheel that is built from the source distribution imports and finds its ABIs with no checkout around."""
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    home = tmp_path / "home"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    site = Path(
        subprocess.check_output([python, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip()
    )
    install = ["-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, *install], check=True, capture_output=True, cwd=tmp_path)
    # The dependencies of this environment, without its editable install: a path in a .pth file is only a path.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    version = subprocess.check_output([python, "-P", "-c", PROBE], text=True, cwd=tmp_path).strip()
    assert wheel.name.startswith(f"sworn_oracle-{version}-")
