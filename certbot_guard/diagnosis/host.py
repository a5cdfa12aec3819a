"""This host: its ports, disks, permissions and memory."""

from __future__ import annotations

import errno
from typing import Callable, Optional

from certbot_guard.diagnosis.case import Case, Cause, Fields, beginning, either, quoted, said

_BIND = r"Could not bind TCP port (?P<port>\d{1,5})|Problem binding to port (?P<port2>\d{1,5})"


def _bind(*numbers: int, words: str) -> Callable[[Case], Optional[Fields]]:
    def seen(case: Case) -> Optional[Fields]:
        found = case.said(_BIND)
        if not found or not (case.errno in numbers or case.said(words)):
            return None
        owner = case.port_owner or "another process (which one could not be seen)"
        return {"port": case.port or found["port"] or found["port2"], "owner": beginning(owner, 100), "error": quoted(
            case.error)}

    return seen


def system_error(*numbers: int, words: str) -> Callable[[Case], Optional[Fields]]:
    """By the number, or where only text is left by the system's words for it."""

    def seen(case: Case) -> Optional[Fields]:
        if case.errno not in numbers and not case.said(words):
            return None
        named = case.said(r"\[Errno \d+\] [^\n:]{1,80}: b?'([^'\n]{1,200})'")
        path = case.filename or (named[1] if named else "")
        return {"file": f" ({beginning(path, 120)})" if path else "", "error": quoted(case.error)}

    return seen


_PORT = {"port": 80, "owner": "nginx (pid 812)"}
_FILE = {"file": " (/etc/letsencrypt/live/example.com)", "error": '"..."'}

CAUSES: tuple[Cause, ...] = (
    Cause("port-in-use", _bind(errno.EADDRINUSE, words=r"already in use"), "Port {port} was taken: {owner} listens "
          "there, so certbot could not answer the challenge", "host", None, "If it is your web server, use the guard "
          "for this lineage or a webroot authenticator; if it does not belong there, stop it.", "", ("port",), _PORT),
    Cause("port-permission", _bind(errno.EACCES, errno.EPERM, words=r"permissions|Permission denied"), "certbot may "
          "not listen on port {port}", "host", False, "Run certbot as root, or take away what forbids it (SELinux, "
          "AppArmor, a container without CAP_NET_BIND_SERVICE).", "", ("port",), _PORT),
    Cause("port-address", _bind(errno.EADDRNOTAVAIL, words=r"Cannot assign requested address"), "The address on which "
          "certbot was to listen, port {port}, is not one of this host's", "configuration", False,
          "Look at --http-01-address, 'http01_address =' in the renewal configuration.", "", ("port",), _PORT),
    Cause("port", said(r"Problem binding to port (?P<port>\d{1,5})"), "certbot could not listen on port {port}",
          "host", None, "Read the details.", "", ("port",), _PORT),
    Cause("disk-full", system_error(errno.ENOSPC, errno.EDQUOT, words=r"No space left on device|Disk quota exceeded"),
          "A disk of this host is full{file}", "host", False, "Make room: df -h and df -i show which file system, "
          "blocks or inodes.", "", (), _FILE),
    Cause("read-only", system_error(errno.EROFS, words=r"Read-only file system"), "A file system that certbot writes "
          "to is read-only{file}", "host", False, "See why (dmesg, mount): a disk with errors is set read-only by the "
          "kernel; a service may be confined by ProtectSystem= in its unit.", "", (), _FILE),
    Cause("too-many-files", system_error(errno.EMFILE, errno.ENFILE, words=r"Too many open files"), "There were too "
          "many open files on this host", "host", None, "See what holds them (lsof), and the limit of the service "
          "(LimitNOFILE=, ulimit -n).", "", (), _FILE),
    Cause("out-of-memory", either(system_error(errno.ENOMEM, words=r"Cannot allocate memory"), said(r"^MemoryError")),
          "This host has too little memory left", "host", None, "See what uses it (free -m, dmesg), and give the host "
          "more memory or swap.", "", (), _FILE),
    Cause("webroot-unwritable", lambda case: {"error": quoted(case.error)} if case.said(r"Couldn't create root for") else
          None, "certbot could not put the challenge's file into the webroot: {error}", "host", False, "Look at the "
          "directory's permissions, and whether it is on a file system that can be written.", "", (), _FILE),
    Cause("permission", system_error(errno.EACCES, errno.EPERM, words=r"Permission denied|Operation not permitted"),
          "certbot may not read or write a file of its own{file}", "host", False, "Run certbot as root, as the user "
          "that owns its directories; look at the owner and mode of that file, and at SELinux or AppArmor.", "", (),
          _FILE),
    Cause("disk-error", system_error(errno.EIO, words=r"Input/output error"), "A disk of this host failed{file}",
          "host", False, "Look at dmesg and at the disk's health; a backup comes first.", "", (), _FILE),
)
