"""What telling people costs: many lineages that fail in one run, and channels that hang beside channels that work."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from datetime import datetime, timezone
from pathlib import Path

from certbot_guard import journal, notify, samples
from certbot_guard.config import Channel, Config
from certbot_guard.run import Run
from tests.support.authority import Authority
from tests.support.webhook import Webhook

# Three causes, as the CA says them: settle groups by what they come to, not by their words.
_CAUSES = (("serverInternal", 503, "The service is down for maintenance or had an internal error"),
           ("rateLimited", 429, "too many certificates (50) already issued for \"{name}\" in the last 168h0m0s"),
           ("dns", 400, "DNS problem: NXDOMAIN looking up TXT for _acme-challenge.{name}"))
# In an interpreter of its own. VmHWM is the peak of this program alone; getrusage's ru_maxrss is no less than what the
# process that started it had (measured, Linux 6.18: 311 MB for a child that does nothing, of a parent with 300).
_TELL = """
import re, sys, time
from pathlib import Path
from certbot_guard import telling
from certbot_guard.run import Run
run = Run.load(Path(sys.argv[1]))
began = time.perf_counter()
assert telling.tell(run, None, deliver=False)
seconds = time.perf_counter() - began
print(seconds, int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""
# The two that do not answer are waited for until then, which is not what is measured.
_DEADLINE_SECONDS = 10.0


def failing(directory: Path, lineages: int) -> Path:
    """A run in which so many lineages failed, as certbot left it. Returns its directory."""
    directory.mkdir()
    now = datetime.now(timezone.utc)
    names = [f"n{number}.guard.test" for number in range(lineages)]
    certificate = Authority().issue(["guard.test"], 29)[0]
    for name in names:
        (directory / "live" / name).mkdir(parents=True)
        (directory / "live" / name / "cert.pem").write_bytes(certificate)
    settings = directory / "guard.ini"
    settings.write_text(f"[notify]\nmail = json://127.0.0.1:9/\n[state]\ndir = {directory}/state\n")
    settings.chmod(0o600)
    run = Run.create([directory / "state"], {
        "id": f"{now:%Y%m%dT%H%M%SZ}-bench", "host": "web1", "verb": "renew", "argv": ["renew"], "server": None,
        "config_dir": str(directory), "guard_config": str(settings), "started": now.isoformat()})
    for number, name in enumerate(names):
        kind, status, detail = _CAUSES[number % len(_CAUSES)]
        acme = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail.format(name=name)}
        run.note("lineage", lineage=name, names=[name, f"www.{name}"])
        run.note("lineage-failed", lineage=name, error_type="Error", error=acme["detail"], acme=acme,
                 evidence={"status": status, "url": "https://acme-v02.api.letsencrypt.org/acme/new-order"})
    run.note("exit")
    return run.directory


def told(lineages: int) -> tuple[float, float]:
    """Seconds and peak MB of a process that makes the message and keeps it on the disk; nothing is sent."""
    with tempfile.TemporaryDirectory(prefix="guard-bench-") as base:
        directory = failing(Path(base) / "machine", lineages)
        said = subprocess.run([sys.executable, "-I", "-c", _TELL, str(directory)], check=True, capture_output=True,
                              text=True, cwd="/").stdout.split()
        return float(said[0]), float(said[1])


def reached(channels: int, broken: bool) -> float:
    """Seconds until every channel that works has a message; with ``broken``, one more hangs and another drips."""
    with ExitStack() as held, tempfile.TemporaryDirectory(prefix="guard-bench-") as base:
        hooks = [held.enter_context(closing(Webhook())) for _ in range(channels)]
        others = [held.enter_context(closing(Webhook())) for _ in range(2 if broken else 0)]
        for other, fault in zip(others, (Webhook.hang, Webhook.drip)):
            fault(other)
        # The two come first: whoever waits for them in turn shows it.
        named = {f"c{number}": hook.apprise_url for number, hook in enumerate([*others, *hooks])}
        settings = Config(Path("/nowhere"), channels=tuple(Channel(name, url) for name, url in named.items()))
        book = held.enter_context(closing(journal.Journal.open(Path(base))))
        now = datetime.now(timezone.utc)
        book.add(samples.every_kind(now)[0].message, list(named), 0)
        began = time.monotonic()
        results = notify.deliver_outbox([book], settings, _DEADLINE_SECONDS)
        assert sum(one.ok for one in results) == channels, results
        return max(hook.wait(1)[0].at for hook in hooks) - began
