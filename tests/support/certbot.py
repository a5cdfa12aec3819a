"""certbot as a test sees it: a set of its directories with lineages in them, and one running process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Optional, Sequence
from urllib.parse import urlsplit

from configobj import ConfigObj
from cryptography import x509

from tests.support import processes
from tests.support.account import Account
from tests.support.authority import Authority

KINDS = ("cert", "privkey", "chain", "fullchain")


def program(name: str = "certbot") -> Path:
    """The one installed beside the Python that runs the tests."""
    return Path(sys.executable).parent / name


class Home:
    """certbot's three directories, with an account. ``obtain`` makes lineages in them at once, without a CA.

    A lineage starts as certbot would have left it, but for who signed the certificate; its first renewal is real.
    """

    def __init__(self, directory: Path, server: str, http_port: int, authority: Authority) -> None:
        self.directory, self.server, self.http_port, self._authority = directory, server, http_port, authority
        self.config, self.work, self.logs = directory / "config", directory / "work", directory / "logs"
        self._template = ""
        self._account = ""
        for path in (self.config, self.work, self.logs):
            path.mkdir(parents=True, exist_ok=True)

    @property
    def arguments(self) -> list[str]:
        return ["--config-dir", str(self.config), "--work-dir", str(self.work), "--logs-dir", str(self.logs),
                "--server", self.server, "--http-01-port", str(self.http_port), "--non-interactive",
                "--no-random-sleep-on-renew"]

    def take_form(self, other: Home, name: str, account: Account) -> None:
        """Have this account, and the renewal configuration of a lineage ``name`` of ``other`` as the form of ours."""
        self._template = (other.config / "renewal" / f"{name}.conf").read_text()
        self._account = account.name
        account.write(self.config / "accounts")

    def use_server(self, url: str) -> None:
        """Talk to another ACME server, with an account there: a name that does not resolve, say."""
        old, new = (self.config / "accounts" / u.netloc / u.path.strip("/") for u in map(urlsplit, (self.server, url)))
        shutil.copytree(old, new)
        self.server = url

    # -- lineages ------------------------------------------------------------------------------------------------

    def obtain(self, name: str, domains: Optional[Sequence[str]] = None, authenticator: str = "standalone",
               guarded: bool = True, days_left: float = 20, days: float = 90, key_type: str = "ecdsa",
               webroot: Optional[Path] = None, **parameters: Any) -> Path:
        """A lineage, due unless ``days_left`` says otherwise; returns its live directory.

        ``parameters`` go into ``[renewalparams]``, such as ``pre_hook="..."`` or ``installer="apache"``.
        """
        names = list(domains or [name])
        archive, live = self.config / "archive" / name, self.config / "live" / name
        for directory in (archive, live, self.config / "renewal"):
            directory.mkdir(parents=True, exist_ok=True)
        for directory in (archive.parent, live.parent):
            directory.chmod(0o700)
        certificate, key = self._authority.issue(names, days_left, days, "rsa" if key_type == "rsa" else "ec")
        chain = self._authority.certificate
        for kind, content in zip(KINDS, (certificate, key, chain, certificate + chain)):
            (archive / f"{kind}1.pem").write_bytes(content)
            (live / f"{kind}.pem").symlink_to(Path("../../archive") / name / f"{kind}1.pem")
        (archive / "privkey1.pem").chmod(0o600)
        (live / "README").write_text("as certbot writes one\n")
        values: dict[str, Any] = {"account": self._account, "authenticator": authenticator, "server": self.server,
                                  "key_type": key_type, "http01_port": str(self.http_port)}
        if guarded:
            values["installer"] = "guard"
        if authenticator == "webroot":
            assert webroot is not None, "webroot= is needed"
            values["webroot_path"] = [str(webroot)]
            values["webroot_map"] = {domain: str(webroot) for domain in names}
        values.update(parameters)
        self._write_conf(name, archive, live, values)
        return live

    def _write_conf(self, name: str, archive: Path, live: Path, values: dict[str, Any]) -> None:
        form = ConfigObj(self._template.splitlines(), interpolation=False)
        conf = ConfigObj(encoding="utf-8", default_encoding="utf-8", interpolation=False)
        conf["version"] = form["version"]
        conf["archive_dir"] = str(archive)
        for kind in KINDS:
            conf[kind] = str(live / f"{kind}.pem")
        conf["renewalparams"] = values
        with open(self.conf_path(name), "wb") as file:
            conf.write(file)

    def conf_path(self, name: str) -> Path:
        return self.config / "renewal" / f"{name}.conf"

    def conf(self, name: str) -> ConfigObj:
        """Its renewal configuration as it is now."""
        return ConfigObj(str(self.conf_path(name)), encoding="utf-8", interpolation=False, file_error=True)

    def live(self, name: str, kind: str = "fullchain") -> Path:
        return self.config / "live" / name / f"{kind}.pem"

    def version(self, name: str) -> int:
        """1 as obtained, 2 after its first renewal."""
        deadline = time.monotonic() + 2.0
        while True:
            try:
                return int(Path(os.readlink(self.live(name))).stem[len("fullchain"):])
            except FileNotFoundError:  # certbot 5.8 storage.py: a save takes the link away, and then makes it anew
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def certificate(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.live(name).read_bytes())

    def directory_hook(self, stage: str, name: str, script: str) -> Path:
        """An executable in ``renewal-hooks/STAGE/``."""
        path = self.config / "renewal-hooks" / stage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script)
        path.chmod(0o755)
        return path

    def log(self) -> str:
        try:
            return (self.logs / "letsencrypt.log").read_text("utf-8", "replace")
        except OSError:
            return ""


class Certbot:
    """A certbot process. Its output goes to files: what it starts may keep them open for as long as it likes."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], cwd: str, output: Path) -> None:
        self.arguments = list(arguments)
        self._stdout, self._stderr = output.with_suffix(".out"), output.with_suffix(".err")
        self.began, self.began_at = time.monotonic(), time.time()
        self.killed_at: Optional[float] = None
        self.ended_at: Optional[float] = None
        with open(self._stdout, "wb") as out, open(self._stderr, "wb") as err:
            self.process = subprocess.Popen(self.arguments, env=environment, cwd=cwd, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=err, start_new_session=True)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stdout(self) -> str:
        return self._stdout.read_text("utf-8", "replace")

    @property
    def stderr(self) -> str:
        return self._stderr.read_text("utf-8", "replace")

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def returncode(self) -> Optional[int]:
        return self.process.poll()

    @property
    def seconds(self) -> float:
        """How long it ran, as seen by whoever waited."""
        return (self.ended_at or time.monotonic()) - self.began

    def wait(self, timeout: float = 90.0) -> Certbot:
        """Return when it has ended. :raises AssertionError: it has not, and was killed."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"certbot did not end in {timeout} s\n{self.output}") from None
        self.ended_at = self.ended_at or time.monotonic()
        return self

    def send(self, number: int = signal.SIGKILL) -> None:
        self.killed_at = time.monotonic()
        self.process.send_signal(number)

    def hook_pids(self, kind: str = "") -> list[int]:
        """Its hooks of ours that run now; ``kind`` is pre, deploy or post. The last one is Python, not its shell."""
        wanted = f"certbot_guard.hooks {kind}".rstrip()
        return [pid for pid in processes.descendants_of(self.pid)
                if wanted in " ".join(processes.arguments_of(pid))]

    def __repr__(self) -> str:
        return f"<certbot {self.arguments[1:3]} exit {self.returncode}>"
