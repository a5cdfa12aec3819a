"""The Debian package: built, looked at by lintian, and installed under Debian's own certbot and a real systemd.

Each test of :mod:`tests.systemd.inside_package` runs in a box. It takes what ``script/deb --needs`` names, lintian, and
Debian's certbot with what else the package depends on, which is downloaded, not installed here.
"""

from __future__ import annotations

import email.utils
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from certbot_guard import __version__
from tests.support.box import BOX, CHECKOUT, booted, skip_where_it_is_not_seen

NAME = "python3-certbot-guard"
SCRIPT = CHECKOUT / "script" / "deb"
NOT_INSTALLED = 3
LONG = ("test_the_units_that_the_command_writes_and_the_packages_get_along",
        "test_an_upgrade_in_the_middle_of_a_renewal",
        "test_a_removal_waits_for_the_end_of_a_renewal",
        "test_a_removal_goes_on_where_a_certificate_cannot_be_given_back",
        "test_a_damaged_installation_can_be_removed")


def _inside() -> list[str]:
    text = (Path(__file__).parent / "inside_package.py").read_text("utf-8")
    return [line[len("def "):line.index("(")] for line in text.splitlines() if line.startswith("def test_")]


def _output(*words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
                          check=False)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """Where the package is built; a box sees it, too."""
    made = Path(tempfile.mkdtemp(prefix="guard-package-", dir="/var/lib" if os.geteuid() == 0 else None))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def package(directory: Path) -> Path:
    if not shutil.which("dpkg-query"):
        pytest.skip("this is not Debian or Ubuntu")
    done = _output(str(SCRIPT), str(directory))
    if done.returncode == NOT_INSTALLED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stdout
    return Path(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def box(package: Path, directory: Path) -> Iterator[Path]:
    skip_where_it_is_not_seen()
    if os.geteuid() != 0:
        pytest.skip("a systemd is booted by root alone")
    (directory / "partial").mkdir(exist_ok=True)
    got = _output("apt-get", "-q", "-y", "--no-install-recommends", "--download-only",
                  "-o", f"Dir::Cache::archives={directory}", "install", str(package))
    if got.returncode:
        pytest.skip(f"Debian's certbot and Apprise cannot be downloaded here: {got.stdout.strip()[-400:]}")
    with booted() as made:
        yield made


def test_lintian_finds_no_error_and_nothing_to_warn_of(package: Path) -> None:
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    done = _output("lintian", "--allow-root", "--no-tag-display-limit", str(package))
    found = [line for line in done.stdout.splitlines() if line.startswith(("E:", "W:"))]
    assert done.returncode == 0 and not found, done.stdout


def test_what_is_in_the_package(package: Path) -> None:
    files = _output("dpkg-deb", "-c", str(package)).stdout.splitlines()
    names = {line.split(None, 5)[5] for line in files}
    modules = {f"./usr/lib/python3/dist-packages/{path.relative_to(CHECKOUT)}"
               for path in (CHECKOUT / "certbot_guard").rglob("*.py")}
    pages = {f"./usr/share/man/man1/{path.name}.gz" for path in (CHECKOUT / "docs" / "man").glob("*.1")}
    assert modules | pages <= names, sorted((modules | pages) - names)
    units = {"certbot-guard-watch.timer", "certbot-guard-watch.service", "certbot-guard-recover.service",
             "certbot-guard-failed@.service", "certbot.service.d/certbot-guard.conf"}
    assert {f"./lib/systemd/system/{name}" for name in units} <= names
    assert {"./usr/share/bash-completion/completions/certbot-guard",
            "./usr/share/zsh/vendor-completions/_certbot-guard",
            "./usr/share/fish/vendor_completions.d/certbot-guard.fish"} <= names
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name.replace("/examples/", "")
                and "prometheus" not in name]
    assert all(" root/root " in line for line in files)


def test_what_the_package_says_of_itself(package: Path) -> None:
    assert _output("dpkg-deb", "-f", str(package), "Version").stdout.strip() == __version__
    depends = _output("dpkg-deb", "-f", str(package), "Depends").stdout
    for name in ("certbot (>= 1.21)", "apprise (>= 1.2.0)", "python3-zope.interface,", "python3-click", "python3-rich",
                 "python3-cryptography"):
        assert name in depends, depends
    assert "apache2" in _output("dpkg-deb", "-f", str(package), "Recommends").stdout
    last = [line for line in (CHECKOUT / "contrib/debian/changelog").read_text("utf-8").splitlines()
            if line.startswith(" -- ")][0]
    assert email.utils.parsedate_to_datetime(last.split("  ")[-1])


@pytest.mark.systemd
@pytest.mark.timeout(450)
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.long if name in LONG else ())
                                  for name in _inside()])
def test_in_the_box(box: Path, directory: Path, name: str) -> None:
    words = [str(BOX), "run", str(box), "env", "-C", str(CHECKOUT), "PYTHONDONTWRITEBYTECODE=1", "TMPDIR=/srv",
             f"GUARD_PACKAGES={directory}", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
             "-p", "no:randomly", f"tests/systemd/inside_package.py::{name}"]
    done = _output(*words, timeout=400)
    assert done.returncode == 0, done.stdout[-12000:]
