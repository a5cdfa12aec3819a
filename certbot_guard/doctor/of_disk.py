"""Checks of the disk: the state directory and its database, room, and file systems that cannot be written."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from certbot_guard import journal, schema, statedir, text
from certbot_guard.doctor.check import Check, Group, ok, problem, skipped, warning
from certbot_guard.doctor.host import WORK, Host
from certbot_guard.doctor.result import Result
from certbot_guard.errors import StateError

# A renewal writes some 20 kB and a log of certbot's some 100 kB.
_TOO_LITTLE_BYTES, _LITTLE_BYTES = 10 * 1024 * 1024, 100 * 1024 * 1024
_TOO_FEW_INODES, _FEW_INODES = 100, 1000


def _state(host: Host) -> Iterator[Result]:
    durable, volatile = statedir.state_directories(host.config.state_dir)
    for path, report, why in ((durable, problem, "A run is then not recorded on the disk, so after a power cut nobody "
                               "knows that the web server was stopped, and what was told is forgotten."),
                              (volatile, warning, "Where the disk has no room, runs are recorded here.")):
        try:
            statedir.refuse_unusable(path)
        except StateError as error:
            yield report("state-directory", text.line(error, 400), where=text.line(path, 300), why=why,
                         remedy="mend what it says, or name another directory in guard.ini: [state] dir = ...")
        else:
            yield ok("state-directory", f"{text.line(path, 300)} can be used")


def _database(host: Host) -> Iterator[Result]:
    looked = 0
    for base in statedir.every_directory(host.config.state_dir):
        path = base / journal.FILE
        if not os.path.lexists(path):
            continue
        looked += 1
        wrong = _wrong_with(path)
        if wrong:
            yield problem("state-database", f"{text.line(path, 300)} cannot be used: {wrong}",
                          where=text.line(path, 300),
                          why="What stands, what was told and what waits to be sent is in it. The next run sets a "
                          "damaged one aside and begins a new one.", remedy="restore it from a backup, or move it away")
        else:
            yield ok("state-database", f"{text.line(path, 300)} is whole")
    if not looked:
        yield skipped("state-database", "there is none yet: the first run makes it")


def _wrong_with(path: Path) -> str:
    if not path.is_file() or path.is_symlink():
        return "it is no plain file"
    if os.path.exists(f"{path}-journal") and not os.access(path, os.W_OK):
        return ""  # an interrupted write, which whoever may write undoes
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5.0)) as database:
            version = int(database.execute("PRAGMA user_version").fetchone()[0])
            said = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        # A write that was interrupted is undone by whoever may write; to this look it is closed.
        return "" if os.path.exists(f"{path}-journal") else text.line(error, 200)
    except sqlite3.Error as error:
        return text.line(error, 200)
    if version > schema.VERSION:
        return f"a newer certbot-guard wrote it (version {version}, this one knows {schema.VERSION})"
    return "" if said == "ok" else text.line(said, 200)


def file_systems(host: Host) -> list[tuple[str, os.statvfs_result]]:
    """Each file system that a renewal writes to, once, with the first path that leads there."""
    paths = [*host.config_dirs, WORK, host.logs_dir, *statedir.state_directories(host.config.state_dir)]
    found: dict[int, tuple[str, os.statvfs_result]] = {}
    for path in paths:
        there = Path(os.path.abspath(path))
        while not os.path.isdir(there) and there != there.parent:
            there = there.parent
        try:
            found.setdefault(os.stat(there).st_dev, (text.line(path, 200), os.statvfs(there)))
        except OSError:
            continue
    return list(found.values())


def _space(host: Host) -> Iterator[Result]:
    fine = []
    for path, one in host.file_systems:
        free, inodes = one.f_bavail * one.f_frsize, one.f_favail
        counted = one.f_files > 0  # btrfs and others count none
        if free < _TOO_LITTLE_BYTES or (counted and inodes < _TOO_FEW_INODES):
            report, much = problem, "too little"
        elif free < _LITTLE_BYTES or (counted and inodes < _FEW_INODES):
            report, much = warning, "little"
        else:
            fine.append(f"{path} ({_size(free)} free)")
            continue
        yield report("disk-space", f"{much} room is left where {path} is: {_size(free)}" + (
            f", {inodes} files" if counted else ""), why="A certificate that cannot be saved is issued for nothing, "
            "and counts for the CA's limits.", remedy="make room: df -h and df -i show what is full")
    if fine:
        yield ok("disk-space", ", ".join(fine))


def _read_only(host: Host) -> Iterator[Result]:
    closed = [path for path, one in host.file_systems if one.f_flag & os.ST_RDONLY]
    for path in closed:
        yield problem("file-systems", f"the file system of {path} is read-only", why="certbot can save nothing there.",
                      remedy="see why (dmesg, mount): the kernel sets a disk with errors read-only; then: mount -o "
                             "remount,rw")
    if not closed:
        yield ok("file-systems", "what certbot and certbot-guard write to can be written")


def _size(number: int) -> str:
    return f"{number / 1024**3:.1f} GiB" if number >= 1024**3 else f"{number // 1024**2} MiB"


GROUP = Group("Disk", (
    Check("state-directory", "the state directories can be used", "Where runs are recorded: root's alone on the whole "
          "way, writable, not full.", _state),
    Check("state-database", "the state database is whole", "Opened for reading only; none is made.", _database),
    Check("disk-space", "there is room", "100 MiB and 1,000 files on each file system that a renewal writes to; below "
          "10 MiB or 100 files it is a problem.", _space),
    Check("file-systems", "no file system is read-only", "Those of certbot's directories and of the "
                                                         "state.", _read_only),
))
