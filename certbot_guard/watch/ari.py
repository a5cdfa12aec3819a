"""Whether the CA wants a certificate renewed before its time, as one that it has revoked or is about to: RFC 9773.

Asks about a few lineages a pass, and remembers what it heard. A CA that does not answer is no trouble here: certbot's
runs tell of that. Called by :mod:`certbot_guard.watch.passes`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Callable, Optional

from certbot_guard import plainfile
from certbot_guard.outages import parsed
from certbot_guard.watch import renewalinfo
from certbot_guard.watch.files import Lineage, Note

NOTED, NOTED_CA = "ari ", "ari-ca "
MOST_A_PASS = 50
_EVERY = timedelta(days=1)
# RFC 9773 4.3.3: after a failure that stays, ask again in six hours.
_AFTER_FAILURE = timedelta(hours=6)
# certbot >= 4.1 asks as well, at every run, and renews by itself.
_PATIENCE = timedelta(days=1)
# As for what is due: whoever has not missed it for a month does not need it.
_FORGOTTEN = timedelta(days=30)


@dataclass(frozen=True)
class Known:
    """What is remembered of a lineage. Times are ISO, or nothing.

    :ivar of: its certificate (SHA-256); another one has another window
    :ivar next: not asked before that
    :ivar end: of the window that the CA suggested last
    :ivar since: the earliest beginning that it gave: a CA may count one that is over from each question anew
    :ivar page: where the CA says why
    :ivar told: it was noted
    """

    of: str
    next: str = ""
    end: str = ""
    since: str = ""
    page: str = ""
    told: bool = False


def look(lineages: Iterable[Lineage], note: Note, now: datetime, noted: dict[str, str],
         changes: dict[str, Optional[str]], schedule: Callable[[datetime], Any], deadline_seconds: float = 10.0,
         fetch: Optional[renewalinfo.Fetch] = None) -> None:
    """Note ``revoked`` for each lineage whose certificate its CA wants renewed at once, within ``deadline_seconds``.

    Who is not asked this time, or gives no answer, is judged by what was heard last.

    :param noted: what was remembered; ``changes`` gets what is to be remembered now
    :param schedule: certbot's next attempt after that moment, or None
    """
    there = {str(lineage.path): lineage for lineage in lineages}
    known: dict[str, Known] = {}
    questions = []
    for path, lineage in there.items():
        of, ident = _certificate(lineage)
        known[path] = _known(noted.get(NOTED + path), of)
        if ident and lineage.server and _is_time(lineage, known[path], noted, now):
            questions.append(renewalinfo.Question(path, lineage.server, ident))
    questions.sort(key=lambda question: known[question.key].next)
    answers = renewalinfo.ask(questions[:MOST_A_PASS], now, deadline_seconds, fetch)
    _forget(noted, there, now, changes)
    changes.update({NOTED_CA + ca: (now + _EVERY).isoformat() for ca in answers.without})
    changes.update({NOTED_CA + ca: (now + max(_AFTER_FAILURE, pause)).isoformat()
                    for ca, pause in answers.failed.items()})
    schedule = functools.lru_cache(maxsize=1)(schedule)
    for path, lineage in there.items():
        one = _learned(known[path], answers.heard.get(path), now)
        if _is_late(one, lineage, now, schedule):
            note("revoked", lineage=lineage.name, names=list(lineage.names), explanation=one.page)
            one = replace(one, told=True)
        if one != known[path]:
            changes[NOTED + path] = json.dumps(asdict(one))


def _is_time(lineage: Lineage, known: Known, noted: dict[str, str], now: datetime) -> bool:
    if lineage.validity is None or lineage.validity.not_after <= now:
        return False  # RFC 9773 4.3: no question about a certificate that has expired
    return all((parsed(value) or now) <= now for value in (known.next, noted.get(NOTED_CA + lineage.server)))


def _certificate(lineage: Lineage) -> tuple[str, str]:
    """Its SHA-256, and how its CA is asked about it; empty where that cannot be found out."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    if lineage.certificate is None:
        return "", ""
    try:
        found = x509.load_pem_x509_certificate(plainfile.read(lineage.certificate, plainfile.PEM_LIMIT_BYTES))
        return hashlib.sha256(found.public_bytes(Encoding.DER)).hexdigest(), renewalinfo.ident(found)
    except (OSError, ValueError):
        return "", ""


# -- what is remembered, and what it means ---------------------------------------------------------------------------


def _known(value: Optional[str], of: str) -> Known:
    """As it was noted. Of another certificate only when its lineage may be asked about again; one that cannot be read
    now (``of`` is empty) is not another one."""
    try:
        found = Known(**json.loads(value or ""))
    except (ValueError, TypeError, RecursionError):
        return Known(of)
    if any(not isinstance(word, str) for word in (found.of, found.next, found.end, found.since, found.page)):
        return Known(of)
    return found if of in ("", found.of) else Known(of, found.next)


def _forget(noted: dict[str, str], there: dict[str, Lineage], now: datetime, changes: dict[str, Optional[str]]) -> None:
    for name, value in noted.items():
        path = name[len(NOTED):]
        if name.startswith(NOTED) and path not in there and not os.path.lexists(path):
            changes[name] = None  # the whole lineage is gone, on purpose
        elif name.startswith(NOTED_CA) and (parsed(value) or now) <= now:
            changes[name] = None


def _learned(known: Known, heard: Optional[renewalinfo.Heard], now: datetime) -> Known:
    if heard is None:
        return known
    window, pause = heard.window, _AFTER_FAILURE if heard.window is None else _EVERY
    known = replace(known, next=(now + max(pause, heard.retry_after)).isoformat())
    if window is None:
        return known
    if window.end > now:  # the CA asks for nothing yet, or no more
        return replace(known, end=window.end.isoformat(), since=window.start.isoformat(), page=window.page, told=False)
    end, since = parsed(known.end), parsed(known.since)
    asked_before = since if end is not None and end <= now else None
    return replace(known, end=window.end.isoformat(), page=window.page,
                   since=min(window.start, asked_before or window.start).isoformat())


def _is_late(known: Known, lineage: Lineage, now: datetime, schedule: Callable[[datetime], Any]) -> bool:
    """The window is over, is not the usual one towards a certificate's end, and certbot does not see to it."""
    end, since, validity = parsed(known.end), parsed(known.since), lineage.validity
    # Before its end nothing is late: each client picks a moment in it.
    if end is None or since is None or end > now:
        return False
    if validity is None or known.told:  # it stands until the CA says otherwise, or there is another certificate
        return known.told and (validity is None or now - validity.not_after <= _FORGOTTEN)
    # renew_before_expiry is a choice of this host's, of which the CA's usual window knows nothing.
    dues = [lineage.due(), replace(lineage, renew_before=None).due()]
    if any(due is None or due <= now for due in dues):
        return False  # it is due anyway: files.look() sees to that
    patient_until = since + _PATIENCE
    if not lineage.autorenew or now >= patient_until:
        return True
    attempt = schedule(now)
    return attempt is None or (attempt.when is not None and attempt.when > patient_until)
