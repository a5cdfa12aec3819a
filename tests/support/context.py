"""What a test has in its hands: certbot with lineages, an Apache, an ACME server, a mailbox, and a directory.

``World`` is what one test process starts once; ``Context`` is fresh for each test, and looks for what it left behind.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Sequence, Union

from certbot_guard import control
from certbot_guard.run import Run
from tests.support import processes
from tests.support.account import Account
from tests.support.authority import Authority
from tests.support.ca import Pebble
from tests.support.certbot import Certbot, Home, program
from tests.support.faulty_ca import ENDPOINTS, FaultyCA
from tests.support.mailbox import Mailbox
from tests.support.ports import free_port
from tests.support.site import Site

# How long the guard's own processes may go on after a test: a second look at Apache, a message on its way.
PATIENCE_SECONDS = 20.0
CRON_PATH = "/usr/bin:/bin"
Moment = Union[str, Callable[[], object]]


def _directory(prefix: str) -> Path:
    path = Path(tempfile.mkdtemp(prefix=prefix))
    path.chmod(0o755)  # Apache's workers are not root, and neither is who delivers messages
    return path


class World:
    """One ACME server with one account, and the two ports that every Apache of this test process listens on."""

    def __init__(self) -> None:
        self.directory = _directory("guard-world-")
        self.authority = Authority()
        self.http_port, self.https_port = free_port(), free_port()
        self.pebble = Pebble(self.directory / "pebble", self.http_port, self.authority)
        self.ca = FaultyCA(self.pebble)
        self.home = Home(self.directory / "certbot", self.ca.directory_url, self.http_port, self.authority)
        self.environment = {"PATH": CRON_PATH, "HOME": str(self.directory),
                            "REQUESTS_CA_BUNDLE": str(self.ca.ca_bundle)}
        try:
            self._obtain_form()
        except BaseException:
            self.close()
            raise

    def _obtain_form(self) -> None:
        """An account, and a lineage whose renewal configuration is what this version of certbot writes."""
        done = Certbot(
            [str(program()), "certonly", "--standalone", "-d", "form.guard.test", "--agree-tos",
             "--register-unsafely-without-email", *self.home.arguments],
            self.environment, "/", self.directory / "form").wait()
        if done.returncode:
            raise RuntimeError(f"certbot cannot obtain a certificate: {done.output}\n{self.pebble.log_tail()}")

    def close(self) -> None:
        self.ca.close()
        self.pebble.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Context:
    """One test's own. Nothing runs until the test starts it; :meth:`close` ends everything.

    :ivar apache: a :class:`~tests.support.site.Site`, not started
    :ivar ca: the :class:`~tests.support.faulty_ca.FaultyCA`, without faults
    :ivar mailbox: a :class:`~tests.support.mailbox.Mailbox`, empty
    :ivar home: certbot's directories, with an account and no lineage
    """

    def __init__(self, world: World, **apache: Any) -> None:
        self.world = world
        self.ca = world.ca
        self.ca.clear()
        self.authority = world.authority
        self.directory = _directory("guard-test-")
        self.apache = Site(self.directory / "apache", **{"http_port": world.http_port,
                                                         "https_port": world.https_port, **apache})
        self.mailbox = Mailbox()
        self.account: Optional[Account] = None
        self.home = self.new_home("certbot")
        self.program = program()  # the certbot that is run
        self.state = self.directory / "state"
        self.ini = self.home.config / "guard.ini"
        self.runs: list[Certbot] = []  # every certbot and certbot-guard this test has started
        self._reloads_before: dict[int, int] = {}  # by pid of the run, as the next one
        self._saved_before: dict[int, set[Path]] = {}
        self.leaves_processes = False  # a test that means to leave some behind says so
        self._closing: list[Callable[[], None]] = []
        tail = self.directory / "bin"  # where a test puts programs of its own; names this test in each environment
        tail.mkdir()
        self.environment = {**world.environment, "PATH": f"{CRON_PATH}:{tail}", "HOME": str(self.directory),
                            "APACHE_CONFDIR": self.apache.environment["APACHE_CONFDIR"],
                            "APACHE_ENVVARS": self.apache.environment["APACHE_ENVVARS"]}

    # -- before the run ------------------------------------------------------------------------------------------

    def new_home(self, name: str) -> Home:
        """Another set of certbot's directories, with the account that this test has to itself."""
        home = Home(self.directory / name, self.ca.directory_url, self.world.http_port, self.authority)
        self.account = self.account or Account.register(self.ca.directory_url, self.ca.ca_bundle)
        home.take_form(self.world.home, "form.guard.test", self.account)
        self.ca.forget()
        return home

    def obtain(self, name: str, domains: Optional[Sequence[str]] = None, home: Optional[Home] = None,
               vhost: Optional[str] = None, **options: Any) -> Path:
        """A due lineage in no time, and virtual hosts that use it from Apache's next start on.

        ``authenticator`` (``standalone``, ``webroot``), ``guarded``, ``days_left``, ``key_type`` and entries of
        ``[renewalparams]`` as for :meth:`Home.obtain`. ``vhost`` names the vhosts' files; ``""`` makes none.
        """
        if options.get("authenticator") == "webroot":
            options.setdefault("webroot", self.apache.docroot)
        live = (home or self.home).obtain(name, domains, **options)
        if vhost != "":
            self.apache.host(vhost or name, live, list(domains or [name]))
        return live

    def guard_ini(self, text: Union[str, bytes, None] = None, server: str = "", channels: Optional[dict[str, str]] = None,
                  more: str = "", mode: int = 0o600) -> Path:
        """Write guard.ini: ``text`` as it is, or one with the lines ``server``, the ``channels`` and ``more``.

        Without ``channels`` there is one, ``mail``, to :attr:`mailbox`.
        """
        if text is None:
            # "auto" would find the machine's own apache2.service where systemd runs.
            control = "" if "control" in server else f"control = {self.apache.program}\n"
            urls = {"mail": self.mailbox.apprise_url} if channels is None else channels
            lines = "".join(f"{name} = {url}\n" for name, url in urls.items())
            text = f"[server]\n{control}{server}\n\n[notify]\n{lines}\n[state]\ndir = {self.state}\n\n{more}\n"
        self.ini.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.ini.chmod(mode)
        return self.ini

    def guarded_site(self, *names: str, server: str = "", **options: Any) -> Context:
        """Lineages of these names, a guard.ini that mails to the mailbox, and an Apache that serves them."""
        for name in names or ("one.guard.test",):
            self.obtain(name, **options)
        self.guard_ini(server=server)
        self.apache.start()
        return self

    def cleanup(self, action: Callable[[], None]) -> None:
        """``action()`` is called when the test has ended; the last one first."""
        self._closing.append(action)

    # -- runs ----------------------------------------------------------------------------------------------------

    def certbot(self, *arguments: str, check: bool = False, env: Optional[dict[str, Optional[str]]] = None,
                cwd: str = "/", wait: bool = True, home: Optional[Home] = None, timeout: float = 90.0) -> Certbot:
        """Run certbot, from a bare environment as cron has it; ``env`` adds to it, or with None takes away.

        With ``wait`` it has ended when this returns, and with ``check`` its exit code was 0.
        """
        return self._run([str(self.program), *arguments, *(home or self.home).arguments], check, env, cwd, wait, timeout)

    def renew(self, *arguments: str, force: bool = True, **options: Any) -> Certbot:
        """``certbot renew --force-renewal``; without ``force`` only what is due."""
        return self.certbot("renew", *(["--force-renewal"] if force else []), *arguments, **options)

    def guard(self, *arguments: str, check: bool = False, env: Optional[dict[str, Optional[str]]] = None,
              cwd: str = "/", wait: bool = True, timeout: float = 60.0) -> Certbot:
        """Run ``certbot-guard --config guard.ini ...``."""
        return self._run([str(program("certbot-guard")), "--config", str(self.ini), *arguments], check, env, cwd, wait,
                         timeout)

    def _run(self, arguments: list[str], check: bool, env: Optional[dict[str, Optional[str]]], cwd: str, wait: bool,
             timeout: float) -> Certbot:
        merged = {**self.environment, **(env or {})}
        environment = {name: value for name, value in merged.items() if value is not None}
        reloads, saved = self._reloads(), self._saved()
        run = Certbot(arguments, environment, cwd, self.directory / f"run-{len(self.runs) + 1}")
        self._reloads_before[run.pid], self._saved_before[run.pid] = reloads, saved
        self.runs.append(run)
        if wait:
            run.wait(timeout)
            if check and run.returncode:
                raise AssertionError(f"exit code {run.returncode}\n{run.output}")
        return run

    # -- moments of a run ----------------------------------------------------------------------------------------

    def wait_until(self, moment: Moment, run: Certbot, timeout: float = 30.0) -> None:
        """Return at a moment of a run that was started with ``wait=False``.

        ``"event:KIND"``: the run has recorded it. ``"hook:pre"``, ``hook:deploy``, ``hook:post``: that hook of ours has
        begun. ``"saved"``: a new certificate is in live/. ``"reload"``: Apache has begun to reload.
        Or any function that returns something true.
        """
        processes.wait_for(self._looker(moment, run), timeout, f"{moment if isinstance(moment, str) else 'the moment'} did not come in {timeout} s",
                           give_up=lambda: not run.running)

    def _looker(self, moment: Moment, run: Certbot) -> Callable[[], object]:
        if callable(moment):
            return moment
        kind, _, which = moment.partition(":")
        if kind == "event":
            return lambda: any(event.get("mono", 0.0) >= run.began for event in self.events(which))
        if kind == "hook":
            return lambda: run.hook_pids(which)
        if kind == "saved":
            return lambda: self._saved() - self._saved_before[run.pid]
        if kind == "reload":
            return lambda: self._reloads() > self._reloads_before[run.pid]
        raise ValueError(f"no such moment: {moment}")

    def _saved(self) -> set[Path]:
        """What the links in live/ lead to: certbot replaces them when it saves."""
        return {link.resolve() for link in self.home.config.glob("live/*/fullchain.pem")}

    def _reloads(self) -> int:
        try:
            return self.apache.error_log.read_bytes().count(b"Doing graceful restart")
        except OSError:
            return 0

    def signal_at(self, moment: Moment, number: int, *arguments: str, timeout: float = 30.0, **options: Any) -> Certbot:
        """Start ``certbot renew --force-renewal``, and send it a signal at that moment. It may live on.

        A moment is one of :meth:`wait_until`, or an ACME endpoint (``"challenge"``, ``"finalize"``): the signal comes
        while that request is unanswered; it is answered when certbot has not died of the signal in a second.
        """
        if isinstance(moment, str) and moment in ENDPOINTS:
            with self.ca.hold(moment, times=1) as held:
                run = self.renew(*arguments, wait=False, **options)
                try:
                    held.wait(timeout)
                except AssertionError as error:
                    raise AssertionError(f"{error}\n{run.output}") from None
                run.send(number)
                if processes.wait_gone(lambda: [run.pid] if run.running else [], 1.0):
                    held.release()
            return run
        run = self.renew(*arguments, wait=False, **options)
        self.wait_until(moment, run, timeout)
        run.send(number)
        return run

    def kill_at(self, moment: Moment, *arguments: str, number: int = signal.SIGKILL, **options: Any) -> Certbot:
        """As :meth:`signal_at`, and wait until certbot has ended."""
        return self.signal_at(moment, number, *arguments, **options).wait()

    # -- what is true afterwards ---------------------------------------------------------------------------------

    def events(self, kind: Optional[str] = None) -> list[dict[str, Any]]:
        """What the runs on disk have recorded, oldest run first; of one kind, or all."""
        found = []
        for path in sorted(self.state.rglob("events.jsonl"), key=lambda p: p.parent.name):
            try:
                lines = path.read_text("utf-8", "replace").splitlines()
            except OSError:
                continue
            for line in lines:
                try:
                    event = json.loads(line)
                except (ValueError, RecursionError):
                    continue  # a line that is being written, or what a test has put there
                if isinstance(event, dict) and kind in (None, event.get("kind")):
                    found.append(event)
        return found

    def wait_event(self, kind: str, timeout: float = 20.0, count: int = 1) -> dict[str, Any]:
        """Return the ``count``-th event of this kind as soon as it is recorded."""
        processes.wait_for(lambda: len(self.events(kind)) >= count, timeout, f"no event {kind} in {timeout} s",
                           between=0.01)
        return self.events(kind)[count - 1]

    def guard_processes(self) -> list[int]:
        """The guard's own processes of this test: hooks, sentinels, settle, deliverers."""
        return [pid for pid in processes.marked(str(self.directory))
                if "certbot_guard" in " ".join(processes.arguments_of(pid))]

    def sentinels(self) -> list[int]:
        return [pid for pid in self.guard_processes() if "certbot_guard.sentinel" in processes.arguments_of(pid)]

    def run_directory(self) -> Path:
        """Of the newest run."""
        return max(path.parent for path in self.state.rglob("events.jsonl"))

    def guard_socket(self, request: dict[str, Any]) -> Optional[dict[str, Any]]:
        """What the newest run's sentinel answers."""
        return control.ask(Run.load(self.run_directory()), request, 30.0)

    def start_sentinel(self) -> subprocess.Popen[bytes]:
        """One more for the newest run."""
        return subprocess.Popen([sys.executable, "-I", "-m", "certbot_guard.sentinel", str(self.run_directory())],
                                cwd="/", env=self.environment, stdin=subprocess.DEVNULL, start_new_session=True)

    def wait_settled(self, timeout: float = PATIENCE_SECONDS) -> None:
        """Return when none of the guard's processes is left: there is nothing more to come."""
        left = processes.wait_gone(self.guard_processes, timeout)
        assert not left, f"still running after {timeout} s: {[processes.describe(pid) for pid in left]}"

    # -- the end -------------------------------------------------------------------------------------------------

    def report(self) -> Iterator[tuple[str, str]]:
        """Titles and texts of what a person needs to see why a test has failed."""
        for run in self.runs[-3:]:
            yield f"{run!r} after {run.seconds:.1f} s", run.output[-6000:]
        if self.home.log():
            yield "letsencrypt.log (tail)", self.home.log()[-4000:]
        if self.apache.log_tail():
            yield "Apache's ErrorLog (tail)", self.apache.log_tail()
        if self.events():
            yield "events", "\n".join(json.dumps(event) for event in self.events())[-8000:]
        yield "mails", "\n\n".join(f"{mail.subject}\n{mail.text}" for mail in self.mailbox.messages)[-4000:] or "none"
        yield "ACME requests", "\n".join(f"{r.at:.3f} {r.method} {r.endpoint} -> {r.status}" for r in self.ca.requests)
        left = [processes.describe(pid) for pid in processes.marked(str(self.directory))]
        yield "processes", "\n".join(left) or "none"

    def close(self, patience_seconds: float = PATIENCE_SECONDS) -> list[str]:
        """End everything that this test has started; return what ought to have ended by itself, described."""
        for action in reversed(self._closing):
            action()
        self.ca.clear()
        self.world.pebble.resolve_everything()
        mark = str(self.directory)

        def left() -> list[int]:
            apaches = set(self.apache.processes())
            return [pid for pid in processes.marked(mark) if pid not in apaches]

        overdue = [] if self.leaves_processes else processes.wait_gone(left, patience_seconds)
        described = [processes.describe(pid) for pid in overdue]
        processes.kill(left)  # before Apache: a sentinel would start it again
        for run in self.runs:
            run.wait(5)
        processes.kill(lambda: processes.marked(mark))
        self.apache.close()
        self.mailbox.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        return described


def wait_for(condition: Callable[[], object], timeout: float = 20.0, what: str = "it") -> object:
    """Return the first true value of ``condition()``."""
    return processes.wait_for(condition, timeout, f"{what} did not come true in {timeout} s", between=0.01)
