"""Is what a service shows what certbot has on the disk? Pure, except for :func:`on_disk`, which reads certbot's files.

It runs on every server every hour, so where there is doubt nothing is wrong. A place is ours if guard.ini names it, if
the virtual host loads a lineage's file, if its name stands in a lineage's certificate, or if what it shows is a
lineage's. Nothing else is judged: a snakeoil default host, a certificate from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Iterable, Optional, Sequence

from cryptography.hazmat.primitives.serialization import Encoding

from certbot_guard import stakes, text
from certbot_guard.lineages import validity_in
from certbot_guard.phrases import moment
from certbot_guard.watch.ondisk import (
    Disk,
    OnDisk,
    common_name,
    fingerprint,
    is_address,
    names_of,
    on_disk,
    organization,
    parse,
    plain_name,
    signed,
)
from certbot_guard.watch.tls import Place, Shown

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["Disk", "OnDisk", "Trouble", "judge", "on_disk"]


@dataclass(frozen=True)
class Trouble:
    """What is wrong at ``place``.

    :ivar kind: ``served-expired``, ``served-expiring``, ``served-old``, ``served-copy`` (one of these at most, the
        first that holds), ``served-chain``, ``served-name``, ``served-silent``
    :ivar lineage: whose certificate it is, or should be; or nothing
    :ivar words: one harmless phrase that does not name the place
    :ivar not_after: of the certificate that is shown
    """

    kind: str
    lineage: str
    place: Place
    words: str
    not_after: Optional[datetime] = None


@dataclass
class _Case:
    """One place, what is shown there, and the lineage that it is about."""

    shown: Shown
    leaf: Certificate
    disk: Disk
    now: datetime
    unknown_ok: bool
    print_: str
    found: list[Trouble] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.current = self.disk.current.get(self.print_)
        self.earlier = self.disk.older.get(self.print_) if self.current is None else None
        self.by_files = self.disk.of_files(self.shown.place)
        named = self.disk.by_name.get(plain_name(self.shown.place.name), [])
        self.named = self.by_files if self.by_files in named else _newest(named)
        self.lineage = self.current or self.earlier or self.named or self.by_files
        self.names = names_of(self.leaf)
        self.validity = validity_in(self.leaf)

    @property
    def ours(self) -> bool:
        if self.shown.place.guess:
            # a default certificate is shown for any name: it is no trouble of all of them
            about = self.current or self.earlier or _copied(self)
            return about is not None and plain_name(self.shown.place.name) in about.names
        return not self.unknown_ok or self.lineage is not None

    def add(self, kind: str, words: str, lineage: Optional[OnDisk]) -> None:
        self.found.append(Trouble(kind, lineage.lineage if lineage else "", self.shown.place, text.line(words, 300),
                                  self.validity.not_after))


def judge(shown: Shown, disk: Sequence[OnDisk], now: datetime, unknown_ok: bool,
          settled_after: timedelta = timedelta(0)) -> list[Trouble]:
    """What is wrong with what is shown, the gravest first.

    :param disk: a :class:`Disk` spares the work of making one for each call
    :param unknown_ok: a certificate and a name that no lineage knows are no trouble (a virtual host); False for what
        guard.ini names
    :param settled_after: a lineage renewed less than that ago may still be served as it was
    """
    disk = disk if isinstance(disk, Disk) else Disk(disk)
    if not shown.chain:
        return _silence(shown, disk, unknown_ok)
    leaf = parse(shown.chain[0])
    if leaf is None:
        garbled = Shown(shown.place, problem="what it shows is no certificate that can be read")
        return _silence(garbled, disk, unknown_ok)
    case = _Case(shown, leaf, disk, now, unknown_ok, fingerprint(shown.chain[0]))
    if case.ours:
        _judge_age(case, settled_after)
        _judge_chain(case)
        _judge_name(case)
    return case.found


def _silence(shown: Shown, disk: Disk, unknown_ok: bool) -> list[Trouble]:
    named = _newest(disk.by_name.get(plain_name(shown.place.name), []))
    lineage = disk.of_files(shown.place) or named
    if not shown.asked or shown.place.guess or (unknown_ok and lineage is None):
        return []
    return [Trouble("served-silent", lineage.lineage if lineage else "", shown.place, text.line(shown.problem, 300))]


def _judge_age(case: _Case, settled_after: timedelta) -> None:
    """Expired, about to expire, an earlier one, a copy: the first of these that is true, and why in its words."""
    about = case.earlier or (None if case.current else _copied(case))
    since = about.since if about is not None else None
    why = _why(case, about) if about is not None else ""
    behind = why and (since is None or case.now - since >= settled_after)
    end = case.validity.not_after
    if end <= case.now:
        case.add("served-expired", f"it expired on {moment(end)}" + (f"; {why}" if why else ""), case.lineage)
    elif case.current is None and stakes.severity(case.validity, case.now) == "critical" and (behind or not about):
        case.add("served-expiring", f"it expires on {moment(end)}" + (f"; {why}" if why else ""), case.lineage)
    elif behind:
        assert about is not None
        copy = about is not case.earlier or (bool(_loads(case.shown.place)) and _configured(case, about) is None)
        case.add("served-copy" if copy else "served-old", f"it expires on {moment(end)}; {why}", about)


def _why(case: _Case, about: OnDisk) -> str:
    new = f"the new one is on the disk since {moment(about.since)}" if about.since else "a newer one is on the disk"
    configured = _configured(case, about)
    if configured is not None:
        return f"{new}, and not loaded" if configured is about else f"its configuration names {configured.live}/ by now"
    loads = _loads(case.shown.place)
    should = f"{about.live}/fullchain.pem" if about.live else f"{about.lineage}'s own files"
    if loads:
        return f"it loads {loads}, not {should}; {new}"
    return new if about is case.earlier else f"it is not the one in {should}, nor known as an earlier one; {new}"


def _configured(case: _Case, about: OnDisk) -> Optional[OnDisk]:
    """The lineage whose files the service loads in a way that a renewal reaches: a reload is all that it needs."""
    return next((one for one in (about, case.by_files) if one is not None and one.follows(case.shown.place)), None)


def _copied(case: _Case) -> Optional[OnDisk]:
    """The lineage that this certificate, unknown by itself, was once one of: the same names, the same CA, and older."""
    for one in [case.named, case.by_files, *case.disk.by_name.get(next(iter(sorted(case.names)), ""), [])]:
        if one is None or case.names != one.names:
            continue
        newest = parse(one.fullchain[0])
        if newest is None or organization(newest) != organization(case.leaf):
            continue
        theirs, own = validity_in(newest).not_before, case.validity.not_before
        if theirs is not None and own is not None and own < theirs:
            return one
    return None


def _judge_chain(case: _Case) -> None:
    """The links from the server's own certificate upwards, as far as certbot's files know them. The order that they are
    sent in is no trouble: RFC 8446, 4.4.2, wants clients to take any, and those in use do."""
    if not case.shown.chain_known or case.leaf.issuer == case.leaf.subject:
        return
    own = None if case.current is None else frozenset(case.current.fullchain)
    if own is not None and own <= frozenset(case.shown.chain):
        return  # what its CA gave for it is sent: another lineage's longer chain says nothing of this one
    sent: dict[bytes, list[Certificate]] = {}
    for certificate in filter(None, map(parse, case.shown.chain[1:])):
        sent.setdefault(certificate.subject.public_bytes(), []).append(certificate)
    at = case.leaf
    for _ in range(8):
        issuer = at.issuer.public_bytes()
        above = next((one for one in sent.get(issuer, []) if signed(at, one)), None)
        if above is None:
            missing = next((one for one in case.disk.intermediates.get(issuer, []) if signed(at, one)
                            and (own is None or one.public_bytes(Encoding.DER) in own)), None)
            if missing is not None:
                what = "only the server's own certificate is sent" if len(case.shown.chain) == 1 else \
                    f"{len(case.shown.chain)} certificates are sent"
                case.add("served-chain", f"the intermediate certificate '{common_name(missing)}' is missing: {what}",
                         case.lineage)
            return
        if above.issuer == above.subject:
            return
        at = above


def _judge_name(case: _Case) -> None:
    """Of a virtual host's names only those that a lineage has: an alias for the house alone needs no certificate."""
    name = plain_name(case.shown.place.name)
    if not name or case.shown.place.guess or (case.named is None and (case.unknown_ok or is_address(name))):
        return
    if name in case.names or (not is_address(name) and "*." + name.partition(".")[2] in case.names):
        return
    for_whom = text.listed(sorted(case.names), 3) if case.names else "no name at all"
    right = f"; the lineage {case.named.lineage} has one for {name}" if case.named is not None else ""
    loads = _loads(case.shown.place)
    where = f", where {loads} is configured" if loads else ""
    case.add("served-name", f"it is for {for_whom}{where}{right}", case.lineage)


def _newest(lineages: Iterable[OnDisk]) -> Optional[OnDisk]:
    ages = datetime.min.replace(tzinfo=timezone.utc)
    return max(lineages, key=lambda one: one.since or ages, default=None)


def _loads(place: Place) -> str:
    return place.files[0] if place.files else ""
