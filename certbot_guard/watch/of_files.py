"""A look at certbot's renewal configurations, and at what they name, each by :mod:`certbot_guard.watch.files`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Optional

from certbot_guard import findings, stakes
from certbot_guard.watch import ari, files
from certbot_guard.watch.looking import JUST_BOOTED, Look

_GUARDED = "guarded "
_WELL = {"not-renewed": "It has been renewed.", "revoked": "The CA asks for nothing any more.",
         "plugin-missing": "The plugin is installed.", "key-mismatch": "They fit each other again."}


def at_files(look: Look) -> None:
    """Every renewal configuration, and what it names."""
    with look.carefully(f"{look.directory}/renewal"):
        if not os.path.lexists(look.directory / "renewal"):
            return  # certbot has never been here, or its directory is not mounted
        os.listdir(look.directory / "renewal")
        plugins = files.installed_plugins()
        for lineage in files.read(look.directory):
            look.lineages.append(lineage)
            with look.carefully(f"the lineage {lineage.name}"):
                _look_at(look, lineage, plugins)
        look.read = True
    _forget_guards(look)
    with look.carefully("what the CAs say of renewals"):
        ari.look(look.lineages, look.one.note, look.now, look.noted, look.changes, look.eyes.schedule)
        for lineage in look.lineages:
            row = look.memory.standing.get(look.subject("revoked", lineage.name))
            if row is not None and lineage.validity is not None and row.subject not in look.forgotten:
                renewed = row.not_after is not None and lineage.validity.not_after > row.not_after
                look.well[row.subject] = "It was renewed." if renewed else _WELL["revoked"]


def _look_at(look: Look, lineage: files.Lineage, plugins: frozenset[str]) -> None:
    skipped: set[str] = set()

    def note(kind: str, **fields: Any) -> None:
        if _is_told_by_runs(look, kind, lineage):
            skipped.add(kind)
        else:
            look.one.note(kind, **fields)

    looked = files.look(lineage, note, look.now, look.stale_after, plugins) - skipped
    for kind in looked & set(_WELL):
        look.well[look.subject(kind, lineage.name)] = _WELL[kind]
    row = look.memory.standing.get(findings.subject_of_lineage(look.one.facts, lineage.name))
    # certbot looks closer than we do (at links, for example): it can read what it could not only if something changed.
    if row is not None and not lineage.error and _is_unreadable(row.key) and any(
            _changed(path) > row.seen.timestamp() for path in (lineage.path, lineage.certificate, lineage.key)):
        look.well[row.subject] = "certbot can read it."
    if not lineage.guarded and not lineage.error:
        look.well[look.subject("plugin-missing", lineage.name)] = "It is not guarded any more."
    if files.is_forgotten(lineage, look.now):
        look.forgotten |= {look.subject(kind, lineage.name) for kind in ("not-renewed", "revoked")}
    _look_at_guard(look, lineage)


def _is_told_by_runs(look: Look, kind: str, lineage: files.Lineage) -> bool:
    """certbot's own runs tell of the same, and remind of it."""
    told = look.memory.standing.get(findings.subject_of_lineage(look.one.facts, lineage.name))
    if kind not in ("not-renewed", "lineage-broken"):
        return False
    if kind == "not-renewed" and look.eyes.uptime() < JUST_BOOTED and stakes.severity(
            lineage.validity, look.now) != "critical":
        return True  # its run comes after the boot
    if told is None or look.now - told.seen > look.stale_after:
        return False
    return kind == "lineage-broken" or stakes.rank(told.severity) >= stakes.rank(
        stakes.severity(lineage.validity, look.now))


def _look_at_guard(look: Look, lineage: files.Lineage) -> None:
    name, subject = f"{_GUARDED}{lineage.path}", look.subject("lost-guard", lineage.name)
    if lineage.error:
        return
    if lineage.guarded:
        look.well[subject] = "Its renewal configuration says installer = guard again."
        if name not in look.noted:
            look.changes[name] = look.now.isoformat()
    elif name in look.noted and lineage.installer:
        look.changes[name] = None  # certbot never writes another installer there by itself: somebody chose it
        look.well[subject] = "Another installer was chosen for it."
    elif name in look.noted:
        look.one.note("lost-guard", lineage=lineage.name, names=list(lineage.names), installer="none")


def _forget_guards(look: Look) -> None:
    """Of lineages that are gone as a whole, on purpose."""
    there = {str(lineage.path) for lineage in look.lineages}
    for name in look.noted:
        path = Path(name[len(_GUARDED):])
        if name.startswith(_GUARDED) and path.parent.parent == look.directory and not (
                str(path) in there or os.path.lexists(path)):
            look.changes[name] = None


def _is_unreadable(key: str) -> bool:
    return any(part.startswith("renewal-configuration") for part in key.split("+"))


def _changed(path: Optional[Path]) -> float:
    try:
        return os.lstat(path).st_ctime if path is not None else 0.0
    except OSError:
        return 0.0
