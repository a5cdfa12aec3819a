"""The check of the clock: whether it is kept right by the network, and whether a CA has the same time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Optional

from certbot_guard.doctor.check import Check, Group, ok, problem, skipped, warning
from certbot_guard.doctor.host import Host
from certbot_guard.doctor.result import Result

_TOLERANCE = timedelta(minutes=5)
_WHY = ("certbot renews too early or too late, and a certificate may not be valid yet, or not any more, although it is "
        "by the time of everybody else.")
_REMEDY = "have the network set it: timedatectl set-ntp true; where that knows no NTP, install chrony"


def _clock(host: Host) -> Iterator[Result]:
    now, synchronized = host.now(), _synchronized(host)
    there = None if host.offline else next((when for _, _, when in host.directories if when is not None), None)
    issued = [one.validity.not_before for one in host.lineages if one.validity and one.validity.not_before]
    if there is not None and abs(now - there) > _TOLERANCE:
        yield problem("clock", f"it is {_words(now - there)} the CA's: {now:%Y-%m-%d %H:%M} UTC here", why=_WHY,
                      remedy=_REMEDY)
    elif there is None and issued and max(issued) - now > _TOLERANCE:
        yield problem("clock", f"it says {now:%Y-%m-%d %H:%M} UTC, before the newest certificate was issued", why=_WHY,
                      remedy=_REMEDY)
    elif there is None and synchronized is False:
        yield warning("clock", "nothing keeps it right, and there is nothing to compare it with", why=_WHY,
                      remedy=_REMEDY)
    elif there is None and synchronized is None:
        yield skipped("clock", "there is nothing to compare it with")
    else:
        beside = "" if synchronized is None else f"{'the network' if synchronized else 'nothing'} keeps it right"
        with_ca = "it agrees with the CA's" if there is not None else ""
        yield ok("clock", "; ".join(part for part in (with_ca, beside) if part))


def _synchronized(host: Host) -> Optional[bool]:
    if not host.under_systemd:
        return None
    try:
        said = host.ask(["timedatectl", "show", "-p", "NTPSynchronized"], 5.0).strip()
    except Exception:  # no timedatectl, or no bus: then it is not known
        return None
    return {"NTPSynchronized=yes": True, "NTPSynchronized=no": False}.get(said)


def _words(ahead: timedelta) -> str:
    minutes = round(abs(ahead).total_seconds() / 60)
    shown = f"{minutes} minutes" if minutes < 120 else f"{round(minutes / 60)} hours"
    return f"{shown} {'ahead of' if ahead > timedelta(0) else 'behind'}"


GROUP = Group("Clock", (
    Check("clock", "the clock is right", "Compared with the CA's, which may be five minutes off; without the network, "
          "with the newest certificate. Under systemd, whether timedatectl says that the network keeps it "
          "right.", _clock),
))
