"""Lineages get the guard, and are given back: what would change in their renewal configurations, and the change.

Looking is free of locks and changes nothing; what was seen is carried out under certbot's own lock, each file whole or
not at all, and only if the file still is what was seen. Never talks to certbot, to people or to the web server. Called
by :mod:`certbot_guard.cli.adopt` and by setup.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from certbot_guard import adoption_hooks, renewaldir
from certbot_guard import adoption_notes as notes
from certbot_guard.adoption_changes import Change, Done, Survey, asked, carried_out, problem, read, unknown
from certbot_guard.errors import GuardError
from certbot_guard.renewaldir import BusyError
from certbot_guard.renewalfile import RenewalFile, parse
from certbot_guard.text import line, listed
from certbot_guard.trust import shown

__all__ = ["BusyError", "Change", "Done", "Survey", "adopt", "lineages_there", "plan", "release", "survey",
           "survey_release"]

GUARD = "guard"
_NEEDED = ("cert", "privkey", "chain", "fullchain")


def lineages_there(config_dir: Path) -> list[str]:
    """:raises GuardError: certbot's directory is not there, or cannot be trusted."""
    return renewaldir.names(config_dir)


# -- adopt -----------------------------------------------------------------------------------------------------------


def plan(config_dir: Path, names: Optional[Sequence[str]] = None, retire_hooks: bool = False) -> list[Change]:
    """What adopt would change, of these lineages or of all that name no other installer.

    :raises GuardError: certbot's directory is not there, or cannot be trusted.
    """
    return list(survey(config_dir, names, retire_hooks).changes)


def survey(config_dir: Path, names: Optional[Sequence[str]] = None, retire_hooks: bool = False) -> Survey:
    """As :func:`plan`, with all that was found. :raises GuardError: as there."""
    remarks, others_stop = adoption_hooks.elsewhere(config_dir)
    changes, others, as_wanted, problems = [], [], [], list(unknown(config_dir, names))
    for lineage in asked(config_dir, names):
        try:
            change = _adoption(config_dir, lineage, retire_hooks, others_stop)
        except GuardError as error:
            problems.append(problem(config_dir, lineage, error))
            continue
        if change.after == change.before:
            as_wanted.append(lineage)
            remarks += [f"{line(lineage)}: {remark}" for remark in change.remarks]
        elif names is None and change.installer_before not in ("", GUARD):
            others.append(change)
        else:
            changes.append(change)
    return Survey(tuple(changes), tuple(others), tuple(as_wanted), tuple(problems), tuple(remarks))


def _adoption(config_dir: Path, lineage: str, retire_hooks: bool, others_stop: bool) -> Change:
    path = renewaldir.path_of(config_dir, lineage)
    file = parse(read(path))
    missing = [key for key in _NEEDED if not isinstance(file.parsed.get(key), str)]
    if missing or not file.get("authenticator"):
        raise GuardError(f"it does not say {missing[0] if missing else 'authenticator'}, so certbot cannot renew by it")
    installer = file.get("installer")
    hooks, remarks = adoption_hooks.judge(file.parameters, others_stop)
    retired = tuple(key for key, _ in hooks) if retire_hooks else ()
    made = file if installer == GUARD else file.with_value("installer", GUARD)
    for key in retired:
        made = made.without(key)
    if installer not in ("", GUARD):
        remarks = [_instead_of(installer), *remarks]
    return Change(lineage, path, installer, hooks, retired, tuple(remarks), file.data, made.data)


def _instead_of(installer: str) -> str:
    said = f"it names the installer {line(installer, 60)}, which then does nothing any more after a renewal"
    if installer == "apache":
        return f"{said}; certbot-guard reloads Apache"
    return (f"{said}; certbot-guard reloads Apache, and another server only where [deploy] also_reload in guard.ini "
            "names its unit")


def adopt(config_dir: Path, changes: Sequence[Change]) -> list[Done]:
    """These renewal configurations are as planned, and what they were is remembered; one with a problem is as it was.

    :raises BusyError: another certbot is at work; nothing was changed.
    :raises GuardError: certbot's lock cannot be taken; nothing was changed.
    """
    def one(change: Change) -> None:
        current, note = parse(change.before), notes.read(config_dir, change.lineage)
        if note is not None and _is_over(note, current):
            note = None
        original = current if note is None else _given_back(current, note)
        retired = tuple(dict.fromkeys([*(note.retired if note else ()), *change.retired]))
        # First: once the file has changed, nobody else knows what it said.
        notes.write(config_dir, change.lineage, notes.Note(
            original.data, notes.digest(change.after), retired, notes.newest_certificate(config_dir, change.lineage)))
        renewaldir.replace(change.path, change.after)

    return carried_out(config_dir, changes, one)


# -- release ---------------------------------------------------------------------------------------------------------


def survey_release(config_dir: Path, names: Optional[Sequence[str]] = None) -> Survey:
    """What release would change, of these lineages or of all that have the guard.

    :raises GuardError: certbot's directory is not there, or cannot be trusted.
    """
    there, remembered = set(renewaldir.names(config_dir)), set(notes.names(config_dir))
    gone = sorted(remembered - there)
    changes, as_wanted, remarks = [], [], []
    problems = list(unknown(config_dir, names, remembered))
    for lineage in asked(config_dir, names):
        try:
            change = _giving_back(config_dir, lineage)
        except GuardError as error:
            problems.append(problem(config_dir, lineage, error))
            continue
        if change.after == change.before and lineage not in remembered:
            as_wanted.append(lineage)
        else:
            changes.append(change)
    for lineage in gone:
        path = notes.path_of(config_dir, lineage)
        if names is not None and lineage in names:
            changes.append(Change(lineage, path, "", remarks=(
                f"it has no renewal configuration any more; what was remembered of it ({shown(path)}) is removed",)))
        elif names is None:
            remarks.append(f"{line(lineage)} has no renewal configuration any more, and what it said is remembered in "
                           f"{shown(path)}: if that certificate is gone for good, write --cert-name {line(lineage)}")
    return Survey(tuple(changes), (), tuple(as_wanted), tuple(problems), tuple(remarks))


def _giving_back(config_dir: Path, lineage: str) -> Change:
    path = renewaldir.path_of(config_dir, lineage)
    current, note = parse(read(path)), notes.read(config_dir, lineage)
    remarks: list[str] = []
    if note is None or _is_over(note, current):
        made = _without_guard(current)
    else:
        made = _given_back(current, note)
        if current.get("installer") not in (GUARD, "", parse(note.before).get("installer")):
            remarks.append(f"it names the installer {line(current.get('installer'), 60)} by now, and that stays")
        kept = [key for key in note.retired if key in current.keys]
        if kept and current.data != note.before:
            remarks.append(f"{listed(kept)}: there is another one by now, and that stays")
    if made.data == current.data:
        remarks.append("nothing is to be changed in it; what was remembered of it is removed")
    return Change(lineage, path, current.get("installer"), remarks=tuple(remarks), before=current.data, after=made.data)


def release(config_dir: Path, changes: Sequence[Change]) -> list[Done]:
    """These renewal configurations are as planned, and nothing is remembered of them; one with a problem is as it was.

    :raises BusyError: another certbot is at work; nothing was changed.
    :raises GuardError: certbot's lock cannot be taken; nothing was changed.
    """
    def one(change: Change) -> None:
        if change.after != change.before:
            note = notes.read(config_dir, change.lineage)
            if note is not None:
                notes.about_to_release(config_dir, change.lineage, note, change.before)
            renewaldir.replace(change.path, change.after)
        notes.forget(config_dir, change.lineage)

    return carried_out(config_dir, changes, one)


def _given_back(current: RenewalFile, note: notes.Note) -> RenewalFile:
    """The file as it was before adopt; of one that was changed since, what adopt changed in it."""
    before = _without_guard(parse(note.before))
    if notes.digest(current.data) == note.after:
        return before
    # None at all: certbot has dropped the guard by itself, as it does where the plugin is not installed.
    if current.get("installer") in (GUARD, "") and "installer" in before.keys:
        current = current.put_back("installer", before)
    for key in before.keys:
        if key in note.retired and key not in current.keys:
            current = current.put_back(key, before)
    return _without_guard(current)


def _without_guard(file: RenewalFile) -> RenewalFile:
    """Nothing of ours is in it: certbot up to 2.1 cannot read a file with ``guard_*`` once the plugin is gone."""
    if file.get("installer") == GUARD:
        file = file.without("installer")
    for key in file.keys:
        if key.startswith("guard_"):
            file = file.without(key)
    return file


def _is_over(note: notes.Note, current: RenewalFile) -> bool:
    """A release was killed when the file was given back already, and only the note was left."""
    return bool(note.releasing) and notes.digest(current.data) != note.releasing and current.get("installer") != GUARD
