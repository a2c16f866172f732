"""Makes a virtual environment with pip, also where Python came without `ensurepip` (Debian).

    python3 .ci/make_venv.py .venv

Debian splits `ensurepip` into the package python3-venv. There pip is fetched from PyPI, this one
file with this one digest, and installs itself.
"""

import hashlib
import importlib.util
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import venv

PIP = (
    "https://files.pythonhosted.org/packages/07/25/"
    "ee8c38ae72d66b844ce8eb9711ba905dba21ca1a8a0c960057c41cd23337/pip-26.3-py3-none-any.whl"
)
SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"


def main(folder: str) -> int:
    """Make it; the exit status."""
    has_pip = importlib.util.find_spec("ensurepip") is not None
    try:
        venv.create(folder, with_pip=has_pip, clear=True, symlinks=True)
        if not has_pip:
            _install_pip(pathlib.Path(folder) / "bin" / "python")
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        sys.stderr.write(
            f"The virtual environment {folder} could not be made: {error}\n"
            "On Debian and Ubuntu `apt install python3-venv` helps.\n"
        )
        return 1
    return 0


def _install_pip(python: pathlib.Path) -> None:
    with urllib.request.urlopen(PIP, timeout=60) as answer:
        wheel = answer.read()
    if hashlib.sha256(wheel).hexdigest() != SHA256:
        raise ValueError("what came as pip is not the pip that was asked for")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / PIP.rpartition("/")[2]
        path.write_bytes(wheel)
        # A wheel is a zip that Python can run; see "pip/__pip-runner__.py" in it.
        subprocess.run(
            [python, f"{path}/pip", "install", "--quiet", "--no-index", path], check=True
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
