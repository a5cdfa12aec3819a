"""A host that was guarded for three months, made up on the disk: lineages, runs, what stands, what waits."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Optional, Sequence

from certbot_guard.journal import Journal
from certbot_guard.message import Message
from certbot_guard.run import Run
from certbot_guard.standing import Standing, Told
from certbot_guard.standing_rows import Changes
from tests.support.authority import Authority

_LIVE = ("cert", "privkey", "chain", "fullchain")


class MadeUp:
    """:ivar settings: a guard.ini that is about nothing but this directory"""

    def __init__(self, directory: Path, now: Optional[datetime] = None, more: str = "") -> None:
        self.now = now or datetime.now(timezone.utc)
        self.config_dir, self.state = directory / "letsencrypt", directory / "state"
        self.logs = directory / "logs"
        for one in (self.config_dir / "renewal", self.logs):
            one.mkdir(parents=True)
        self.state.mkdir(mode=0o700)
        self.settings = self.config_dir / "guard.ini"
        self.settings.write_text(
            "[server]\ncontrol = /nonexistent/apachectl\n[notify]\nmail = mailtos://user:s3cr3t@smtp.example.com?to=ops@example.com\n"
            "team = slack://s3cr3tA/s3cr3tB/s3cr3tC/#ops\npager = pagerduty://s3cr3t@s3cr3t\n"
            "[channel pager]\nmin_severity = critical\n"
            f"[state]\ndir = {self.state}\n[certbot]\nconfig_dir = {self.config_dir}\nlogs_dir = {self.logs}\n{more}")
        self.settings.chmod(0o600)
        self._authority = Authority()
        self._key = self._authority.issue(["key"])[1]
        self._number = 0

    def lineage(self, name: str, names: Sequence[str] = (), days_left: float = 60, days: float = 90,
                installer: str = "guard", more: str = "") -> Path:
        """As certbot leaves one: live/ is links into archive/."""
        live, archive = self.config_dir / "live" / name, self.config_dir / "archive" / name
        live.mkdir(parents=True)
        archive.mkdir(parents=True)
        certificate = self._authority.issue([name, *names], days_left, days, key=self._key)[0]
        chain = self._authority.certificate
        for kind, content in zip(_LIVE, (certificate, self._key, chain, certificate + chain)):
            (archive / f"{kind}1.pem").write_bytes(content)
            (live / f"{kind}.pem").symlink_to(f"../../archive/{name}/{kind}1.pem")
        written = f"installer = {installer}\n" if installer else ""
        (self.config_dir / "renewal" / f"{name}.conf").write_text(
            "version = 5.8.0\n" + "".join(f"{kind} = {live}/{kind}.pem\n" for kind in _LIVE)
            + f"[renewalparams]\nauthenticator = standalone\n{written}{more}")
        return live

    def renew(self, name: str, days_left: float = 89) -> None:
        """Another certificate is on the disk; the first one is still in archive/."""
        live, archive = self.config_dir / "live" / name, self.config_dir / "archive" / name
        certificate = self._authority.issue([name], days_left, key=self._key)[0]
        for kind, content in (("cert", certificate), ("fullchain", certificate + self._authority.certificate)):
            (archive / f"{kind}2.pem").write_bytes(content)
            (live / f"{kind}.pem").unlink()
            (live / f"{kind}.pem").symlink_to(f"../../archive/{name}/{kind}2.pem")

    def facts(self, days_ago: float, **more: Any) -> dict[str, Any]:
        self._number += 1
        began = self.now - timedelta(days=days_ago)
        return {"id": f"{began:%Y%m%dT%H%M%SZ}-{self._number:08x}", "host": "web1.example.com", "verb": "renew",
                "argv": ["renew", "--quiet"], "dry_run": False, "config_dir": str(self.config_dir),
                "logs_dir": str(self.logs), "guard_config": str(self.settings), "certbot_version": "5.8.0",
                "started": began.isoformat(timespec="milliseconds"), "server_name": "apache2.service", **more}

    def run(self, days_ago: float, renewed: Sequence[str] = (), failed: Sequence[str] = (), outage: float = 0.0,
            record: bool = True, **more: Any) -> dict[str, Any]:
        """A run that was settled, and is in the history."""
        facts = self.facts(days_ago, **more)
        if record:
            with closing(Journal.open(self.state, str(self.settings))) as book:
                book.record_run(facts, self.events(facts, renewed, failed, outage))
        return facts

    def events(self, facts: dict[str, Any], renewed: Sequence[str], failed: Sequence[str],
               outage: float) -> list[dict[str, Any]]:
        happened: list[tuple[str, dict[str, Any]]] = [("opened", {})]
        for window, name in enumerate([*renewed, *failed], 1):
            happened.append(("lineage", {"lineage": name, "names": [name]}))
            if outage:
                happened += [("stopping", {"lineage": name, "window": window}),
                             ("serving", {"window": window, "outage_seconds": outage})]
            happened.append(("deployed", {"lineage": name}) if name in renewed else ("lineage-failed", {
                "lineage": name, "error_type": "Error", "error": "Service busy; retry later.",
                "acme": {"type": "urn:ietf:params:acme:error:rateLimited", "detail": "Service busy; retry later."}}))
        happened += [("exit", {}), ("settled", {})]
        return [{"n": number, "kind": kind, "at": facts["started"], "mono": float(number), **fields}
                for number, (kind, fields) in enumerate(happened)]

    def stands(self, subject: str, name: str, words: str, severity: str = "warning", days: float = 3,
               lineage: Optional[str] = None, told: Sequence[str] = ("mail", "team"), waits: Sequence[str] = (),
               advice: str = "", run: str = "") -> None:
        """People were told of a trouble that is not over; for some of them the message still waits."""
        since = self.now - timedelta(days=days)
        body = (f"Apache serves.\n\nNot renewed: {name}\nWhy: {words} The trouble is the CA's.\n"
                f"What to do: {advice}\n\nEnd.")
        message = Message(f"m-{subject}", run or "watch-1", "failure", severity, f"{severity}: {name}", body,
                          (subject,))
        channels = [*told, *waits]
        with closing(Journal.open(self.state, str(self.settings))) as book:
            book.publish([(message, channels)], run or "watch-1", 0, Changes(
                stands=(Standing(subject, name, "key", severity, words, since, self.now, lineage),),
                told=tuple(Told(subject, channel, "key", severity, since, message.id) for channel in channels)), since)
            for channel in channels:
                attempt = book.sending(message.id, channel)
                if channel in told:
                    book.sent(message.id, channel, attempt)
                else:
                    book.failed(message.id, channel, "connection refused", attempt)

    def note(self, **changes: str) -> None:
        with closing(Journal.open(self.state, str(self.settings))) as book:
            book.note(dict(changes))

    def left_run(self, name: str, days_ago: float = 0.01) -> Run:
        """A run whose certbot is gone, with the web server stopped for ``name``."""
        facts = self.facts(days_ago, boot_id="")
        run = Run.create([self.state], facts)
        run.record("lineage", lineage=name, names=[name])
        run.record("stopping", lineage=name, window=1)
        return run


def realistic(directory: Path) -> MadeUp:
    """What a host of a dozen lineages looks like after three months, one of them in trouble."""
    made = MadeUp(directory)
    well = ["api.example.com", "docs.example.com", "example.com", "files.example.com", "intranet.example.com",
            "mail.example.com", "static.example.com", "status.example.com", "wiki.example.com"]
    for number, name in enumerate(well):
        made.lineage(name, [f"www.{name}"] if number % 3 == 2 else [],
                     days_left=[71, 34, 83, 58, 66, 47, 88, 39, 62][number])
    made.lineage("shop.example.com", ["www.shop.example.com", "cart.example.com", "pay.example.com"], days_left=5.4)
    made.lineage("legacy.example.com", days_left=28.5, installer="")
    made.lineage("old-campaign.example.com", days_left=-2.3, more="autorenew = False\n")
    for number in range(26):
        names = [well[number % 9]]
        made.run(88 - number * 3.3, names if number != 9 else [], names if number == 9 else [],
                 outage=[1.1, 0.0, 1.4, 2.2, 0.0][number % 5] if number != 9 else 0.0)
    made.run(40.2, [well[3]], outage=47.0)
    for days in (3.1, 2.6, 2.1, 1.6, 1.1, 0.6, 0.2):
        last = made.run(days, failed=["shop.example.com"], outage=1.2, supervised=days < 1)
    conf = made.config_dir / "renewal"
    made.stands(f"{conf}/shop.example.com.conf", "shop.example.com", "The CA is busy and asks to come again later.",
                "critical", 3.1, "shop.example.com", ("mail", "team", "pager"), run=str(last["id"]), advice=(
                    "Run 'certbot renew' by hand as soon as the cause is gone: there is little time left. "
                    "https://letsencrypt.status.io/"))
    made.stands(f"lost-guard {made.config_dir} legacy.example.com", "legacy.example.com",
                "Its renewal configuration does not say 'installer = guard' any more (installer: none).", "warning", 11,
                "legacy.example.com", ("mail",), ("team",),
                advice="Install certbot-guard where certbot runs, then: certbot-guard adopt --cert-name "
                "legacy.example.com.")
    made.note(**{f"guarded {conf}/legacy.example.com.conf": "x"})
    os.utime(made.settings)
    return made
