"""What counting costs: ``certbot-guard metrics --textfile`` with many lineages and a long history."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

from benchmarks import drawing
from benchmarks.figures import PAIR, Options, Section, Table, in_turn, pair, say
from certbot_guard.journal import Journal
from tests.support.authority import Authority
from tests.support.certbot import program

_FORM = """version = 5.8.0
archive_dir = {base}/archive/{name}
cert = {base}/live/{name}/cert.pem
privkey = {base}/live/{name}/privkey.pem
chain = {base}/live/{name}/chain.pem
fullchain = {base}/live/{name}/fullchain.pem

[renewalparams]
account = 0123456789abcdef0123456789abcdef
authenticator = webroot
server = https://acme-v02.api.letsencrypt.org/directory
key_type = ecdsa
installer = guard
webroot_path = /var/www/html,
[[webroot_map]]
{name} = /var/www/html
"""


def prepared(directory: Path, lineages: int, runs: int) -> Path:
    """So many lineages, and a history of runs twice a day, each with ten of them renewed. Returns guard.ini."""
    base, state = directory / "letsencrypt", directory / "state"
    (base / "renewal").mkdir(parents=True)
    state.mkdir(mode=0o700)
    (base / "cli.ini").write_text(f"logs-dir = {directory}/logs\n")
    settings = base / "guard.ini"
    settings.write_text(f"[state]\ndir = {state}\n[certbot]\nconfig_dir = {base}\n")
    settings.chmod(0o600)
    certificate = Authority().issue(["guard.test"], 29)[0]
    for number in range(lineages):
        name = f"n{number}.guard.test"
        (base / "live" / name).mkdir(parents=True)
        (base / "live" / name / "cert.pem").write_bytes(certificate)
        (base / "renewal" / f"{name}.conf").write_text(_FORM.format(base=base, name=name))
    book, now = Journal.open(state, str(settings)), datetime.now(timezone.utc)
    for number in range(runs):
        at = (now - timedelta(hours=12 * number)).isoformat()
        events = [{"kind": kind, "at": at, "mono": float(window), "lineage": f"n{window}.guard.test", "window": window,
                   "outage_seconds": 1.0} for window in range(10)
                  for kind in ("lineage", "stopping", "serving", "deployed")]
        book.record_run({"id": f"r{number:05d}", "started": at, "verb": "renew", "config_dir": str(base),
                         "guard_config": str(settings)}, [{**event, "n": n} for n, event in enumerate(events)])
    book.close()
    return settings


def seconds(settings: Path) -> float:
    began = time.perf_counter()
    subprocess.run([str(program("certbot-guard")), "--config", str(settings), "metrics", "--textfile",
                    str(settings.parent / "guard.prom")], check=True, cwd="/", stdin=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(options: Options) -> Section:
    lineages, history = (50, 20) if options.quick else (1000, 800)
    say("metrics")
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        many, none = prepared(Path(first), lineages, history), prepared(Path(second), 0, 0)
        found = in_turn({"many": partial(seconds, many), "none": partial(seconds, none)}, options.rounds,
                        not options.quick)
    table = Table("Numbers for a monitoring system", PAIR)
    pair(table, f"`certbot-guard metrics --textfile`, {lineages:,} lineages, {history} runs in the history (beside: "
         "none of either)", found["many"], found["none"])
    section = Section([table])
    section.picture("performance-metrics.svg", "Numbers for a monitoring system, with much to count and with nothing",
                    drawing.bars("certbot-guard metrics --textfile", {"": {
                        f"guard, {lineages:,} lineages, {history} runs": statistics.median(found["many"]),
                        "guard, none of either": statistics.median(found["none"])}}))
    return section
