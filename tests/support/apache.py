"""A real Apache of a test's own: its ServerRoot, ports, certificates and log, and ways to break it.

It is the distribution's program, reached through the distribution's control program with ``APACHE_CONFDIR``
and ``APACHE_ENVVARS``, on loopback ports nobody else uses. :meth:`PrivateApache.close` leaves nothing of it
running.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional, Sequence, Union

from tests.support.ports import free_port

MODULES_DIRECTORY = Path("/usr/lib/apache2/modules")
# Order matters: ssl needs socache_shmcb, and mpm comes first.
MODULES = (
    "mpm_event",
    "authz_core",
    "authn_core",
    "alias",
    "dir",
    "mime",
    "env",
    "setenvif",
    "headers",
    "rewrite",
    "socache_shmcb",
    "ssl",
    "remoteip",
    "reqtimeout",
)
START_SECONDS = 15.0
SLOW_FILE_BYTES = 32 * 1024 * 1024


def control_program() -> Optional[str]:
    """The distribution's apachectl-like program, or None where Apache is not installed."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    return shutil.which("apache2ctl", path=path) or shutil.which("apachectl", path=path)


def make_certificate(
    names: Sequence[str] = ("localhost",), kind: str = "ec", days: int = 90, password: Optional[bytes] = None
) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, both PEM. ``kind`` is ``"ec"`` or ``"rsa"``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import NameOID

    key: Union[ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey]
    if kind == "rsa":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption),
    )


class PrivateApache:
    """An Apache with one HTTP and (``tls=True``) one HTTPS port. Not started by the constructor.

    :ivar root: its ServerRoot; readable by everybody, since its workers are not root
    :ivar environment: what a process needs to control it with :attr:`program`
    :ivar http_port, https_port: on :attr:`address`
    :ivar vhosts: where its virtual hosts are; with ``open_directory`` as distributions include them, so that
        certbot-guard finds a place for a file of its own. Without, challenges cannot pass through this Apache.
    :ivar docroot: served as ``/``; ``index.html`` says ``it works`` and ``slow.bin`` is large
    """

    def __init__(
        self,
        root: Optional[Path] = None,
        address: str = "127.0.0.1",
        tls: bool = True,
        http_port: Optional[int] = None,
        https_port: Optional[int] = None,
        listen: Optional[Sequence[str]] = None,
        open_directory: bool = False,
    ) -> None:
        program = control_program()
        if program is None:
            raise RuntimeError("apache2ctl is not installed")
        self.program = program
        self.started_by: list[str] = []  # words before the program: where else than here it is to run
        self._owns_root = root is None
        self.root = Path(root) if root is not None else Path(tempfile.mkdtemp(prefix="guard-apache-"))
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o755)
        self.address = address
        self.http_port = http_port or free_port(address)
        self.https_port = (https_port or free_port(address)) if tls else None
        self.listen = list(listen) if listen is not None else None
        self.configuration = self.root / "apache2.conf"
        self.vhosts = self.root / "vhosts"
        # A wildcard among the directories: where a new file would have to stand, certbot-guard does not guess.
        self._included = self.vhosts / "*.conf" if open_directory else self.root / "vhost[s]" / "*.conf"
        self.docroot = self.root / "docroot"
        self.logs = self.root / "logs"
        self.run_directory = self.root / "run"
        self.error_log = self.logs / "error.log"
        self.pid_file = self.run_directory / "apache2.pid"
        self.certificate = self.root / "tls" / "cert.pem"
        self.key = self.root / "tls" / "key.pem"
        self.environment = {
            # cron's PATH lacks the sbin directories: what controls this server must find them itself
            "PATH": "/usr/bin:/bin",
            "APACHE_CONFDIR": str(self.root),
            "APACHE_ENVVARS": str(self.root / "envvars"),
        }
        self._write_everything()

    # -- configuration ---------------------------------------------------------------------------------------

    def _write_everything(self) -> None:
        for directory in (self.vhosts, self.docroot, self.logs, self.run_directory, self.certificate.parent):
            directory.mkdir(exist_ok=True)
            directory.chmod(0o755)
        (self.docroot / "index.html").write_text("it works\n")
        with open(self.docroot / "slow.bin", "wb") as slow:
            slow.truncate(SLOW_FILE_BYTES)
        (self.root / "envvars").write_text(
            "unset HOME\n"
            "export APACHE_RUN_USER=www-data APACHE_RUN_GROUP=www-data\n"
            f"export APACHE_RUN_DIR={self.run_directory} APACHE_LOCK_DIR={self.run_directory}\n"
            f"export APACHE_PID_FILE={self.pid_file} APACHE_LOG_DIR={self.logs}\n"
            "export LANG=C\n"
        )
        self.write_certificate(*make_certificate(["localhost", "guard.test"]))
        loads = "".join(
            f"LoadModule {module}_module {MODULES_DIRECTORY}/mod_{module}.so\n"
            for module in MODULES
            if (MODULES_DIRECTORY / f"mod_{module}.so").exists()
        )
        host = f"[{self.address}]" if ":" in self.address else self.address
        listens = self.listen
        if listens is None:
            listens = [f"{host}:{self.http_port}"]
            if self.https_port:
                listens.append(f"{host}:{self.https_port} https")
        self.configuration.write_text(
            f'ServerRoot "{self.root}"\n'
            "ServerName localhost\nTypesConfig /etc/mime.types\n"
            + loads
            + "User ${APACHE_RUN_USER}\nGroup ${APACHE_RUN_GROUP}\n"
            "PidFile ${APACHE_PID_FILE}\n"
            f'DefaultRuntimeDir "{self.run_directory}"\n'
            'ErrorLog "${APACHE_LOG_DIR}/error.log"\n'
            "Timeout 60\nKeepAliveTimeout 3\n"
            # small: tests start many of these
            "StartServers 1\nThreadsPerChild 8\nMaxRequestWorkers 16\nMinSpareThreads 4\nMaxSpareThreads 16\n"
            f'DocumentRoot "{self.docroot}"\n'
            f'<Directory "{self.docroot}">\n  Require all granted\n</Directory>\n'
            + "".join(f"Listen {where}\n" for where in listens)
            + f'IncludeOptional "{self._included}"\n'
        )
        if self.https_port:
            self.add_vhost("default-tls", port=self.https_port, certificate=self.certificate, key=self.key)

    def write_certificate(self, certificate: bytes, key: bytes) -> None:
        """What the TLS port serves from the next start or reload on."""
        self.certificate.write_bytes(certificate)
        self.key.write_bytes(key)
        self.key.chmod(0o600)

    def append(self, lines: str) -> None:
        """Add to the end of the main configuration file."""
        with open(self.configuration, "a") as configuration:
            configuration.write(lines.rstrip("\n") + "\n")

    def add_vhost(
        self,
        name: str,
        port: Optional[int] = None,
        server_name: Optional[str] = None,
        certificate: Optional[Path] = None,
        key: Optional[Path] = None,
        extra: str = "",
    ) -> Path:
        """Write ``vhosts/NAME.conf``: a vhost on ``port`` (default: the HTTP port; with a certificate the TLS
        port). It is used from the next start or reload on."""
        if port is None:
            port = self.https_port if certificate else self.http_port
        body = f"<VirtualHost *:{port}>\n  ServerName {server_name or name}\n"
        if certificate:
            body += f'  SSLEngine on\n  SSLCertificateFile "{certificate}"\n'
            if key:
                body += f'  SSLCertificateKeyFile "{key}"\n'
        body += "".join(f"  {line}\n" for line in extra.splitlines())
        path = self.vhosts / f"{name}.conf"
        path.write_text(body + "</VirtualHost>\n")
        return path

    def break_configuration(self) -> None:
        """From now on configtest fails."""
        (self.vhosts / "broken.conf").write_text("ThisDirectiveDoesNotExist on\n")

    def mend_configuration(self) -> None:
        (self.vhosts / "broken.conf").unlink()

    # -- control ---------------------------------------------------------------------------------------------

    @contextmanager
    def control_runs_first(self, script: str) -> Iterator[None]:
        """Within it the control program runs ``script``, of the shell, before it does anything (``"$*"``: what)."""
        envvars = Path(self.environment["APACHE_ENVVARS"])
        sourced = envvars.read_text()
        envvars.write_text(f"{sourced}\n{script}\n")
        try:
            yield
        finally:
            envvars.write_text(sourced)

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the control program as a person would. Output goes through a file: Apache keeps stdout open."""
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [*self.started_by, self.program, *arguments],
                env={**self.environment, "APACHE_STARTED_BY_SYSTEMD": "no unit of its own"},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                timeout=60,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")

    def start(self) -> PrivateApache:
        """Start it; it answers on every port afterwards."""
        done = self.ctl("start")
        deadline = time.monotonic() + START_SECONDS
        while not self.serves():
            if time.monotonic() > deadline:
                raise AssertionError(f"Apache does not serve: {done.stdout}\n{self.log_tail()}")
            time.sleep(0.01)
        return self

    def stop(self, seconds: float = START_SECONDS) -> None:
        """Stop it at once; nothing of it runs afterwards."""
        self.kill()
        deadline = time.monotonic() + seconds
        while self.processes():
            if time.monotonic() > deadline:
                raise AssertionError(f"Apache still runs: {self.processes()}")
            time.sleep(0.01)
        if self.pid_file.exists():
            self.pid_file.unlink()

    def kill(self) -> None:
        """SIGKILL every process of it, the parent first. Its pid file stays."""
        for _ in range(50):
            processes = self.processes()
            if not processes:
                return
            for pid in processes:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.005)

    def kill_parent_only(self) -> int:
        """SIGKILL the parent: its workers stay, as orphans that serve. Returns the pid it had."""
        pid = self.parent_pid()
        assert pid is not None, "Apache does not run"
        os.kill(pid, signal.SIGKILL)
        while pid in self.processes():
            time.sleep(0.001)
        return pid

    def close(self) -> None:
        self.kill()
        if self._owns_root:
            shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> PrivateApache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what is true of it ----------------------------------------------------------------------------------

    def processes(self) -> list[int]:
        """Every live process of this Apache, parents first. Found by its ServerRoot in the command line."""
        found = []
        wanted = str(self.root).encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                arguments = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
                state = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if state != "Z" and b"apache2" in arguments[0] and wanted in arguments:
                found.append(int(entry))
        return sorted(found)

    def parents(self) -> list[int]:
        """The parents among :meth:`processes`: more than one while an old one drains."""
        processes = self.processes()
        return [pid for pid in processes if _parent_of(pid) not in processes]

    def parent_pid(self) -> Optional[int]:
        """The pid in the pid file if that process lives."""
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return None
        return pid if pid in self.processes() else None

    def serves(self) -> bool:
        """Every one of its ports answers, asked from outside."""
        ports: list[int] = [self.http_port]
        if self.https_port and self.tls_certificate() is None:
            return False
        return all(self.get(port) is not None for port in ports)

    def get(self, port: Optional[int] = None, path: str = "/", seconds: float = 2.0) -> Optional[bytes]:
        """The raw answer to a GET, or None if there was none."""
        try:
            with socket.create_connection(
                (self.address, port or self.http_port), timeout=seconds
            ) as connection:
                connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                answer = b""
                while chunk := connection.recv(65536):
                    answer += chunk
                return answer if answer.startswith(b"HTTP/") else None
        except OSError:
            return None

    def tls_certificate(self, server_name: str = "localhost", seconds: float = 2.0) -> Optional[bytes]:
        """The certificate (DER) that the TLS port shows for ``server_name``; None without a handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            with socket.create_connection(
                (self.address, self.https_port or 0), timeout=seconds
            ) as connection, context.wrap_socket(connection, server_hostname=server_name) as tls:
                return tls.getpeercert(binary_form=True)
        except OSError:
            return None

    def log_tail(self, limit_bytes: int = 4000) -> str:
        try:
            return self.error_log.read_bytes()[-limit_bytes:].decode("utf-8", "replace")
        except OSError:
            return ""

    def url(self, path: str = "/") -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.http_port}{path}"

    @contextmanager
    def slow_visitor(self) -> Iterator[socket.socket]:
        """A visitor in the middle of a large download who reads nothing more. Yields the connection."""
        visitor = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET)
        try:
            visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            visitor.settimeout(5)
            visitor.connect((self.address, self.http_port))
            visitor.sendall(b"GET /slow.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert re.match(rb"HTTP/1.1 200", visitor.recv(64)), "the download did not begin"
            yield visitor
        finally:
            visitor.close()


def _parent_of(pid: int) -> int:
    try:
        return int(Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
