"""Pebble: a real ACME server of the tests' own, with its own resolver, on free loopback ports.

Debian packages both programs (``pebble``). Tests talk to it through :class:`tests.support.faulty_ca.FaultyCA`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Optional

from tests.support.authority import Authority
from tests.support.ports import free_port

START_SECONDS = 15.0


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed: script/bootstrap --test installs it")
    return found


def _dies_with_us() -> list[str]:
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


class Pebble:
    """A running Pebble. Every name resolves to ``127.0.0.1`` until a test says otherwise.

    :ivar directory_url: what certbot's ``--server`` takes
    :ivar ca_bundle: a file with the certificate to trust for the ACME connection (``REQUESTS_CA_BUNDLE``)
    :ivar http_port: where Pebble looks for http-01 answers
    """

    def __init__(
        self,
        directory: Optional[Path] = None,
        http_port: Optional[int] = None,
        authority: Optional[Authority] = None,
        nonce_reject_percent: int = 0,
        authorization_reuse_percent: int = 0,
        validity_days: int = 90,
        sleep: bool = False,
    ) -> None:
        self._owns_directory = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="guard-pebble-"))
        self.directory.mkdir(parents=True, exist_ok=True)
        self.authority = authority or Authority()
        self.http_port = http_port or free_port()
        self.port = free_port()
        self._management_port, self._dns_port, self._dns_management_port = free_port(), free_port(), free_port()
        self.directory_url = f"https://127.0.0.1:{self.port}/dir"
        self.ca_bundle = self.directory / "acme-ca.pem"
        self.ca_bundle.write_bytes(self.authority.certificate)
        self._log = self.directory / "pebble.log"
        certificate, key = self.authority.write(self.directory, "acme", ["127.0.0.1", "::1", "localhost"])
        configuration = self.directory / "pebble.json"
        configuration.write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self._management_port}",
            "certificate": str(certificate), "privateKey": str(key),
            "httpPort": self.http_port, "tlsPort": free_port(), "ocspResponderURL": "",
            "externalAccountBindingRequired": False, "certificateValidityPeriod": validity_days * 86400,
        }}))
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"),
                       "PEBBLE_WFE_NONCEREJECT": str(nonce_reject_percent),
                       "PEBBLE_AUTHZREUSE": str(authorization_reuse_percent)}
        if not sleep:
            environment["PEBBLE_VA_NOSLEEP"] = "1"
        self._processes: list[subprocess.Popen] = []
        self._run([_program("pebble-challtestsrv"), "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
                   "-dns01", f"127.0.0.1:{self._dns_port}", "-http01", "", "-https01", "", "-tlsalpn01", "",
                   "-management", f"127.0.0.1:{self._dns_management_port}"], environment)
        self._run([_program("pebble"), "-config", str(configuration), "-dnsserver", f"127.0.0.1:{self._dns_port}"],
                  environment)
        self._wait_until_open()

    def _run(self, arguments: list[str], environment: dict[str, str]) -> None:
        with open(self._log, "ab") as log:
            self._processes.append(subprocess.Popen(
                _dies_with_us() + arguments, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True))

    def _wait_until_open(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        for port in (self._dns_management_port, self._management_port, self.port):
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    ended = [p for p in self._processes if p.poll() is not None]
                    if ended or time.monotonic() > deadline:
                        self.close()
                        raise RuntimeError(f"Pebble did not start: {self.log_tail()}") from None
                    time.sleep(0.01)

    # -- what it issued ------------------------------------------------------------------------------------------

    def root_certificate(self) -> bytes:
        """The root that its certificates chain to, PEM; another one in every Pebble."""
        context = ssl.create_default_context(cadata=self.authority.certificate.decode())
        with urllib.request.urlopen(f"https://127.0.0.1:{self._management_port}/roots/0", context=context,
                                    timeout=5) as answer:
            return answer.read()

    # -- what names resolve to -----------------------------------------------------------------------------------

    def _tell_resolver(self, verb: str, **fields: Any) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self._dns_management_port}/{verb}",
                                         json.dumps(fields).encode())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(request, timeout=5).close()

    def resolve(self, name: str, *addresses: str) -> None:
        """``name`` has these addresses from now on; none: the default again."""
        self._tell_resolver("clear-a", host=f"{name}.")
        self._tell_resolver("clear-aaaa", host=f"{name}.")
        four = [address for address in addresses if ":" not in address]
        six = [address for address in addresses if ":" in address]
        if four:
            self._tell_resolver("add-a", host=f"{name}.", addresses=four)
        if six:
            self._tell_resolver("add-aaaa", host=f"{name}.", addresses=six)

    def resolve_everything(self, ipv4: str = "127.0.0.1", ipv6: str = "") -> None:
        """What every other name resolves to; an empty text is no address of that kind."""
        self._tell_resolver("set-default-ipv4", ip=ipv4)
        self._tell_resolver("set-default-ipv6", ip=ipv6)

    # -- its end -------------------------------------------------------------------------------------------------

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def log_tail(self, limit_bytes: int = 4000) -> str:
        try:
            return self._log.read_bytes()[-limit_bytes:].decode("utf-8", "replace")
        except OSError:
            return ""

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
        if self._owns_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Pebble:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
