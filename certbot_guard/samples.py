"""A sample of each kind of message, made by the code that makes the real ones. For ``certbot-guard notify test``."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from certbot_guard import __version__, findings, message, recoveries
from certbot_guard.account import Account, NextAttempt
from certbot_guard.findings import Finding
from certbot_guard.message import Message
from certbot_guard.stakes import Validity
from certbot_guard.standing import Memory, News, Recovered, Standing, Taker

NAME = "sample.example.com"
THIS_IS_A_TEST = "(This is a test of certbot-guard on {host}: nothing has happened, and this is a sample.)"
_BUSY = {"type": "urn:ietf:params:acme:error:serverInternal", "detail": "The service is down for maintenance."}


@dataclass(frozen=True)
class Sample:
    """A message and what decides who gets it."""

    kind: str
    message: Message
    findings: tuple[Finding, ...]

    def goes_to(self, taker: Taker) -> bool:
        """Would this channel get such a message?"""
        if not self.findings:
            return self.kind in taker.events
        return any(taker.takes(finding) for finding in self.findings)


def every_kind(now: datetime) -> list[Sample]:
    """A failure, a refusal, an outage, a recovery and a success, as of a lineage that does not exist."""
    lineage: tuple[str, dict[str, Any]] = ("lineage", {"lineage": NAME, "names": [NAME, f"www.{NAME}"]})
    stopping: tuple[str, dict[str, Any]] = ("stopping", {"window": 1, "lineage": NAME})
    failed = ("lineage-failed", {"lineage": NAME, "error_type": "Error", "error": _BUSY["detail"], "acme": _BUSY})
    return [
        _sample("failure", now, [lineage, failed]),
        _sample("refused", now, [lineage, ("refused", {
            "lineage": NAME, "reason": "its configuration test fails", "detail": "AH00526: Syntax error on line 1"})]),
        _sample("outage", now, [lineage, stopping, ("start-failed", {
            "window": 1, "reason": "port 80 belongs to nginx (pid 812)", "detail": "AH00072: make_sock: could not bind to address"})],
            serving=False),
        _sample("recovery", now, [lineage, ("deployed", {"lineage": NAME})]),
        _sample("success", now, [lineage, stopping, ("serving", {"window": 1, "outage_seconds": 1.1}),
                                 ("deployed", {"lineage": NAME})])]


def _sample(kind: str, now: datetime, happened: list[tuple[str, dict[str, Any]]], serving: bool = True) -> Sample:
    host = os.uname().nodename
    facts = {"id": f"test-{now:%Y%m%dT%H%M%S}-{kind}", "host": host, "verb": "renew", "argv": ["renew"],
             "config_dir": "/etc/letsencrypt", "started": now.isoformat(timespec="seconds"),
             "guard_version": __version__, "certbot_version": "(sample)"}
    events = [{"n": number, "kind": name, "at": (now - timedelta(seconds=9 - number)).isoformat(),
               "mono": float(number), **fields} for number, (name, fields) in enumerate(happened, 1)]
    found = Account(facts, events, 0, now, serving, {NAME: Validity(now + timedelta(days=29), now - timedelta(days=61))})
    wrong = tuple(findings.of(found))
    over: tuple[Recovered, ...] = ()
    if kind == "recovery":
        since = now - timedelta(days=3)
        subject = findings.subject_of_lineage(facts, NAME)
        was = Standing(subject, NAME, "", "warning", "The CA was down.", since, since, NAME, now)
        over = tuple(recoveries.of(found, Memory({subject: was}), lambda _name: (True, None)))
    text = message.compose(found, News(wrong, over), NextAttempt("tomorrow at 04:17 (sample)", now + timedelta(days=1)) if wrong else NextAttempt())
    first, _, rest = text.body.partition("\n")
    return Sample(kind, replace(text, run="test", title=f"TEST {text.title}"[:message.TITLE_LIMIT],
                                body="\n".join([first, THIS_IS_A_TEST.format(host=host), rest])), wrong)
