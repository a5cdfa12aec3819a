"""The wheel and the sdist: built from a copy of this checkout, looked into, installed beside a certbot and used.

With ``build`` and ``twine`` of .tools/python (script/bootstrap --all) or of the environment of the tests, and without
asking the network: what the build takes is there, too (setuptools and wheel).
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from certbot_guard import __version__
from tests.support import packages

CHECKOUT = Path(__file__).resolve().parent.parent.parent
# What neither a checkout that was just cloned, nor a package, has in it.
_NOT_OURS = shutil.ignore_patterns(".git", ".venv*", ".tools", "build", "dist", "*.egg-info", "__pycache__", "_build",
                                   ".*_cache", ".hypothesis", ".nox")
_TOOLS = CHECKOUT / ".tools" / "python" / "bin" / "python"
_BUILDER = str(_TOOLS) if _TOOLS.exists() else sys.executable
_MISSING = [] if _TOOLS.exists() else [
    name for name in ("build", "twine", "wheel", "setuptools") if importlib.util.find_spec(name) is None]

pytestmark = pytest.mark.skipif(
    bool(_MISSING), reason=f"not in this environment, and there is no .tools/python: {', '.join(_MISSING)}")


def _run(*words: str, cwd: Path) -> str:
    done = subprocess.run(words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=170,
                          check=False)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-6000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, without what building and testing left in it."""
    copy = tmp_path_factory.mktemp("packaging") / "checkout"
    shutil.copytree(CHECKOUT, copy, symlinks=True, ignore=_NOT_OURS)
    return copy


@pytest.fixture(scope="module")
def built(source: Path) -> Path:
    """The directory with both: the sdist from the copy, and the wheel from that sdist."""
    output = source.parent / "dist"
    _run(_BUILDER, "-m", "build", "--no-isolation", "--outdir", str(output), str(source), cwd=source.parent)
    return output


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    found, = built.glob("*.whl")
    return found


def _files(below: Path, root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in below.rglob("*") if path.is_file()}


def test_both_are_what_an_index_takes(built: Path) -> None:
    made = sorted(built.iterdir())
    assert len(made) == 2
    assert f"certbot_guard-{__version__}-py3-none-any.whl" in [path.name for path in made]
    # setuptools before 69.3 writes the name with a hyphen
    assert [path.name.replace("-", "_") for path in built.glob("*.tar.gz")] == [f"certbot_guard_{__version__}.tar.gz"]
    assert _run(_BUILDER, "-m", "twine", "check", "--strict", *map(str, made), cwd=built).count("PASSED") == 2


def test_the_sdist_holds_what_it_takes_to_build_and_to_test(built: Path, source: Path) -> None:
    archive, = built.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        members = [member for member in opened.getmembers() if not member.isdir()]
        executable = {member.name.partition("/")[2] for member in members if member.mode & 0o100}
    inside = {member.name.partition("/")[2] for member in members}
    wanted = {"setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE"}
    for top in ("certbot_guard", "tests", "docs", "script", "contrib", "benchmarks"):
        wanted |= _files(source / top, source)
    assert wanted - inside == set()
    more = {name for name in inside - wanted if not name.startswith("certbot_guard.egg-info/")}
    assert more == {"PKG-INFO", "setup.cfg"}
    assert {"script/test", "script/bootstrap", "tests/support/systemd-box", "contrib/debian/rules"} <= executable


def test_the_wheel_holds_the_package_and_its_man_pages_alone(wheel: Path, source: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        inside = set(opened.namelist())
    stem = f"certbot_guard-{__version__}"
    pages = {f"{stem}.data/data/share/man/man1/{path.name}" for path in (source / "docs" / "man").glob("*.1")}
    described = {name for name in inside if name.startswith(f"{stem}.dist-info/")}
    assert inside - described == _files(source / "certbot_guard", source) | pages and len(pages) > 10
    assert any(name.endswith("LICENSE") for name in described)


def test_the_wheel_works_beside_a_certbot(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, whose other packages are those of the tests."""
    made = tmp_path / "environment"
    _run(sys.executable, "-m", "venv", str(made), cwd=tmp_path)
    _run(str(made / "bin" / "python"), "-m", "pip", "install", "-q", "--no-index", "--no-deps", str(wheel),
         cwd=tmp_path)
    own, = made.glob("lib/python*/site-packages")
    # A path file names directories that are looked into last. The guard of the tests is a link there, not a directory.
    (own / "of-the-tests.pth").write_text("".join(f"{path}\n" for path in packages.directories()))

    program = str(made / "bin" / "certbot-guard")
    assert _run(program, "--version", cwd=tmp_path).strip() == f"certbot-guard, version {__version__}"
    directories = [word for name in ("config", "work", "logs") for word in (f"--{name}-dir", str(tmp_path / name))]
    said = _run(str(made / "bin" / "python"), "-I", "-c", "import certbot.main, sys; sys.exit(certbot.main.main())",
                "plugins", *directories, cwd=tmp_path)
    assert "* guard" in said
    where = _run(str(made / "bin" / "python"), "-I", "-c", "import certbot_guard; print(certbot_guard.__file__)",
                 cwd=tmp_path).strip()
    assert where == str(own / "certbot_guard" / "__init__.py")
    assert sorted(path.name for path in made.glob("share/man/man1/*"))[0] == "certbot-guard-adopt.1"
