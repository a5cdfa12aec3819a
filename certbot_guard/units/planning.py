"""Which files there should be on this machine, and what they say. Reads a few paths; changes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from certbot_guard import launch
from certbot_guard.config import Config
from certbot_guard.errors import GuardError
from certbot_guard.units import words
from certbot_guard.units.files import MARK, File, read_ours

WATCH, TIMER, RECOVER, FAILED = ("certbot-guard-watch.service", "certbot-guard-watch.timer",
                                 "certbot-guard-recover.service", "certbot-guard-failed@.service")
DROP_IN = "certbot-guard.conf"
# Debian's and Fedora's packages, and the snap
CERTBOTS = ("certbot.service", "certbot-renew.service", "snap.certbot.renew.service")
CRON_FILE = "certbot-guard"  # without a dot: Debian's cron does not read a file that has one

# What a look at this machine and a message need. Neither unit that has this starts a web server of its own, which
# would live in the same cage: under systemd that is systemd's to do, and certbot-guard-recover.service has no cage.
# docs/units.md says of each line that is missing why it is.
_CAGE = """\
# root without most of root's powers: it reads every file and process, is nobody to send messages, and ends those again
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_CHOWN CAP_FOWNER
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL CAP_SYS_PTRACE
NoNewPrivileges=yes
ProtectSystem=full
ProtectHome=read-only
{writable}PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
KeyringMode=private
UMask=0077
"""


@dataclass(frozen=True)
class Places:
    """Where systemd and cron read their files. ``known``: every directory in which a unit file may be."""

    systemd: Path = Path("/etc/systemd/system")
    known: Sequence[Path] = tuple(Path(f"{top}/systemd/system")
                                  for top in ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"))
    cron_d: Path = Path("/etc/cron.d")
    stamps: Path = Path("/var/lib/systemd/timers")


def for_systemd(config: Config, places: Places) -> list[File]:
    """:raises GuardError: a path cannot be said in a unit file, or a file of ours is not ours."""
    here = places.systemd
    found = [File(here / WATCH, _watch(config)), File(here / TIMER, _TIMER), File(here / RECOVER, _recover(config)),
             File(here / FAILED, _failed(config))]
    found += [File(here / f"{name}.d" / DROP_IN, _DROP_IN) for name in certbots(places)]
    return [_packaged(file, places) or file for file in found]


def packaged(places: Places) -> list[Path]:
    """The files of these names that a distribution's package has installed; systemd prefers what is in /etc."""
    names = [WATCH, TIMER, RECOVER, FAILED, *(f"{name}.d/{DROP_IN}" for name in CERTBOTS)]
    return [where / name for name in names for where in places.known
            if where != places.systemd and os.path.isfile(where / name)]


def _packaged(wanted: File, places: Places) -> Optional[File]:
    """The package's file, where systemd reads that one and it says all that is wanted."""
    name = wanted.path.relative_to(places.systemd)
    first = next((where / name for where in places.known if os.path.lexists(where / name)), None)
    if first is None or first == wanted.path:
        return None
    there = File(first, wanted.content)
    try:
        return there if there.is_there else None
    except GuardError:
        return None


def certbots(places: Places) -> list[str]:
    """The services by which distributions run certbot, as far as they are on this machine and not masked."""
    return [name for name in CERTBOTS if any(os.path.isfile(where / name) for where in places.known)]


def for_cron(config: Config, places: Places, minute: int) -> list[File]:
    """:param minute: of the hour, for the watch; one that an earlier installation chose is kept

    :raises GuardError: cron reads no such file here; the lines to use instead are in the sentence.
    """
    path = places.cron_d / CRON_FILE
    watch, recover = (words.for_cron(_ours(config, verb, "--quiet")) for verb in ("watch", "recover"))
    if not os.path.isdir(places.cron_d):  # busybox's crond, as on Alpine, reads no such directory
        raise GuardError(f"there is no systemd here, and no directory {places.cron_d}; put these two lines into root's "
                         f"crontab (crontab -e):\n{minute} * * * * {watch}\n@reboot {recover}")
    kept = _minute(read_ours(path))
    minute = minute if kept is None else kept
    return [File(path, f"{MARK}\nSHELL=/bin/sh\nPATH={launch.surroundings({})['PATH']}\n\n"
                       f"{minute} * * * * root {watch}\n@reboot root {recover}\n")]


def there(places: Places) -> list[Path]:
    """The files of ours that exist, whichever of the two they are for, and whatever they are for by now."""
    fixed = [places.systemd / name for name in (TIMER, WATCH, RECOVER, FAILED)] + [places.cron_d / CRON_FILE]
    return [path for path in fixed if os.path.lexists(path)] + sorted(places.systemd.glob(f"*.service.d/{DROP_IN}"))


def _minute(content: Optional[str]) -> Optional[int]:
    match = re.search(r"^([0-5]?[0-9]) \* \* \* \* root ", content or "", re.MULTILINE)
    return int(match[1]) if match else None


def _ours(config: Config, *arguments: str) -> list[str]:
    return launch.command("cli", "--config", str(config.path), *arguments)


def _writable(config: Config) -> str:
    """What the settings want written, where ProtectSystem= and ProtectHome= would not let it."""
    wanted = [config.state_dir, config.metrics_textfile and config.metrics_textfile.parent]
    paths = [words.for_systemd([f"-{path}"]).lstrip(":") for path in wanted if path]
    return f"ReadWritePaths={' '.join(dict.fromkeys(paths))}\n" if paths else ""


def _watch(config: Config) -> str:
    return f"""\
{MARK}
[Unit]
Description=certbot-guard: look after certificates and who serves them
# What was left unfinished is finished first, outside of the cage below.
Wants={RECOVER}
After={RECOVER} network-online.target

[Service]
Type=oneshot
ExecStart={words.for_systemd(_ours(config, "watch", "--quiet", "--no-recover"))}
# 75: another one is at it
SuccessExitStatus=75
TimeoutStartSec=10min
{_CAGE.format(writable=_writable(config))}"""


_TIMER = f"""\
{MARK}
[Unit]
Description=certbot-guard: look after certificates every hour

[Timer]
OnCalendar=hourly
RandomizedDelaySec=55min
# Each machine keeps the minute that chance gave it; systemd before 247 draws again every time.
FixedRandomDelay=yes
AccuracySec=1min
Persistent=yes

[Install]
WantedBy=timers.target
"""


def _recover(config: Config) -> str:
    return f"""\
{MARK}
[Unit]
Description=certbot-guard: finish what a killed run or a power cut left unfinished
# Behind the web servers' own start: only what is still down then is ours to start. Before them, systemctl start would
# wait for them, and they for us.
After=network.target remote-fs.target apache2.service httpd.service

[Service]
Type=oneshot
ExecStart={words.for_systemd(_ours(config, "recover", "--quiet"))}
SuccessExitStatus=75
# No boot waits longer than this. A web server that will not start is tried again by a unit of its own.
TimeoutStartSec=3min
# An Apache without a unit of its own, and what watches over its start, outlive this one.
KillMode=process

[Install]
WantedBy=multi-user.target
"""


def _failed(config: Config) -> str:
    # %i as it is in the unit's name: what is escaped there stays escaped, as systemctl and journalctl want it.
    return f"""\
{MARK}
[Unit]
Description=certbot-guard: tell that %i failed
# A run of certbot that was killed is settled first, and told of by that.
Wants={RECOVER}
After={RECOVER}

[Service]
Type=oneshot
ExecStart={words.for_systemd(_ours(config, "unit-failed"))} "%i"
TimeoutStartSec=5min
{_CAGE.format(writable=_writable(config))}"""


_DROP_IN = f"""\
{MARK}
[Unit]
OnFailure=certbot-guard-failed@%n.service
"""
