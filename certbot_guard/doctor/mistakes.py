"""The story's mistakes: what is wrong with the lines by which certbot runs by itself, and the line to put instead.

Reads what others have read (jobs, hooks) and judges; starts nothing, changes nothing, never raises. A line that is fine
gets no word. Each line to put instead has been judged in its turn: it is offered only if nothing is wrong with it.
Called by doctor and setup.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Mapping, Optional, Sequence

from certbot_guard.doctor.result import Result
from certbot_guard.job import Job

_USUAL_PLACES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/snap/bin",
                 "/opt/certbot/bin", "/opt/certbot/venv/bin")


@dataclass(frozen=True)
class Mistake:
    """One kind of mistake, for ``doctor --list`` and the documentation."""

    id: str
    title: str
    explanation: str


MISTAKES = (
    Mistake("cron-stop-and-start", "The web server is started again only if certbot succeeds",
            "A line such as `stop && certbot renew && start` starts the web server only when certbot ends well. When "
            "the CA is not available for a minute, or one lineage of many fails, the start is not reached: the site "
            "is down until somebody looks, and nobody is told."),
    Mistake("cron-stop-start-sequence", "The web server is stopped for the whole of every run",
            "A line such as `stop; certbot renew; start` stops the web server at every run, also when nothing is "
            "due, and for as long as certbot takes, which may hang at the CA for minutes. If certbot is killed "
            "there, nobody starts the server. After `apachectl stop` or `graceful-stop` under systemd the start may "
            "do nothing: it exits 0, and Apache is down as soon as the old process has left."),
    Mistake("line-not-read", "A line may stop the web server around certbot, and cannot be read",
            "Commands are read with the groups, conditions, loops and functions around them. What is more than that "
            "(a quote that is not closed, commands inside `$(...)` or of a `trap`, more than 20 brackets within each "
            "other) is not judged; where the word `stop` is in it, or certbot is in it and a stop beside it, that is "
            "said instead of nothing."),
    Mistake("force-renewal", "Certificates are ordered at every run, due or not",
            "With `--force-renewal` every run orders new certificates. Let's Encrypt issues the same set of names at "
            "most 5 times in 7 days; then it refuses, also the renewal that would be needed. Without the option "
            "certbot renews what is due and does nothing else."),
    Mistake("runs-too-rarely", "certbot runs less than once a day",
            "certbot renews a certificate of 90 days when 30 are left. Once or twice a month means one or two tries, "
            "and a single bad minute at the CA costs one of them. With certificates of 47 days or of 6 there is no "
            "second try. Twice a day costs nothing: certbot does nothing while nothing is due."),
    Mistake("runs-too-often", "certbot is started many times a day",
            "A `*` for the minute starts certbot at every minute of that hour. While a renewal fails, each start is "
            "another failed order: Let's Encrypt allows 5 failed validations of a name an hour, and then refuses. "
            "Starts that overlap end with `Another instance of Certbot is already running`."),
    Mistake("hook-graceful-stop", "A hook stops Apache in a way after which the start may do nothing",
            "`apachectl graceful-stop` and `apachectl stop` return at once, while the old process still serves its "
            "last visitors. Under systemd the unit counts as active until that process has left, so the start in the "
            "post hook does nothing and exits 0; then the process leaves. Measured on Debian: one visitor who "
            "downloads is enough, the renewal succeeds, certbot exits 0, the site is down. `systemctl stop` and "
            "`systemctl start` do not have this."),
    Mistake("output-thrown-away", "What certbot says when it fails is thrown away",
            "certbot writes its errors to standard error, and cron mails what a line writes. With `2>&1` to "
            "/dev/null, or `MAILTO=\"\"`, a renewal fails for weeks and nobody is told. `--quiet` keeps certbot "
            "silent while all is well, and lets errors through."),
    Mistake("installer-over-others", "--installer guard is said over lineages that name another installer",
            "The option speaks for every lineage of the run. One whose renewal configuration names another installer "
            "(apache, nginx) keeps it there, so every run without the option, by a timer or by hand, is unguarded."),
    Mistake("certbot-auto", "certbot-auto is run, which no longer works",
            "certbot-auto gets no updates since 2021 and stops with an error on most systems, or runs a certbot from "
            "then."),
    Mistake("program-not-found", "cron does not find a program of the line",
            "cron's own PATH is /usr/bin:/bin. A program elsewhere (/usr/sbin, /usr/local/bin, /snap/bin) is found "
            "by hand, and not by cron: the line ends with `not found` before anything is renewed."),
    Mistake("cron-percent", "A % cuts the command of a crontab line short",
            "In a crontab the first `%` without a backslash ends the command; what follows is its input. The line "
            "runs by hand and does something else in cron."),
    Mistake("cron-extra-user", "A user's own crontab names a user",
            "Only /etc/crontab and the files of /etc/cron.d have a column for the user. In a user's own crontab the "
            "word is taken for the program: `root: not found`, and certbot never runs."),
    Mistake("cron-line-refused", "cron does not run a line or a script about certbot",
            "A line that cron cannot read, a file whose last line has no newline (Debian's cron ignores all of it), or "
            "one in /etc/cron.d or /etc/cron.daily with a dot in its name, which Debian passes over: cron says so in "
            "its log at most, and certbot never runs by it."),
    Mistake("unit-stop-and-start", "A systemd service stops the web server and starts it only if certbot succeeds",
            "`ExecStartPost=` runs only when `ExecStart=` succeeded. When certbot fails, the web server that "
            "`ExecStartPre=` stopped stays down. `ExecStopPost=` runs in any case, but the server is stopped at "
            "every run, due or not."),
)
BY_ID = {mistake.id: mistake for mistake in MISTAKES}


def find_program(name: str) -> Optional[Path]:
    """Where a program is, wherever it is usual."""
    for directory in _USUAL_PLACES:
        path = Path(directory, name)
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None


@dataclass(frozen=True)
class Context:
    """What there is around a line.

    :ivar systemd: systemd runs here
    :ivar installers: each lineage, and the installer that its renewal configuration names; an empty string: none
    :ivar channels: guard.ini names somebody who is told
    :ivar jobs: everything that starts certbot, for how often all of it does
    :ivar debian: apachectl is Debian's, which speaks to Apache itself; that of RHEL hands ``stop`` to systemctl
    :ivar unit: Apache's unit
    :ivar blind: the certbots, by their real paths, that do not see the plugin; ``certbot``: one that does
    :ivar find_program: where a program is that a line's own PATH does not have
    :ivar python: the directory of the Python this command runs in, for a certbot that has no certbot-guard beside it
    """

    systemd: bool
    installers: Mapping[str, str] = field(default_factory=dict)
    channels: bool = False
    jobs: Sequence[Job] = ()
    debian: bool = field(default_factory=lambda: os.path.exists("/etc/debian_version"))
    unit: str = ""
    blind: frozenset[str] = frozenset()
    certbot: Optional[Path] = None
    find_program: Callable[[str], Optional[Path]] = find_program
    python: Path = field(default_factory=lambda: Path(sys.executable).parent)

    def apache_unit(self) -> str:
        return self.unit or ("apache2" if self.debian else "httpd")

    def others(self) -> dict[str, str]:
        """The lineages that name an installer that is not ours."""
        return {name: said for name, said in self.installers.items() if said not in ("", "None", "guard")}

    def unguarded(self) -> list[str]:
        return [name for name, said in self.installers.items() if said != "guard"]


def of_job(job: Job, context: Context) -> list[Result]:
    """What is wrong with one job; nothing where it is fine, or where its timer is off and it does not run."""
    from certbot_guard.doctor import judging, repair, stopping

    if job.active is False:
        return []
    try:
        found = judging.of_job(job, context)
        return repair.with_instead(found, job, context)
    except (RecursionError, ValueError, IndexError):  # no text of anybody's stops the other checks
        return [stopping.not_read(job)]


def of_hooks(hooks: Sequence[object], context: Context) -> list[Result]:
    """What is wrong with hooks and options in certbot's own files: see :func:`certbot_guard.doctor.hookfiles.find`."""
    from certbot_guard.doctor import hookfiles

    found: list[Result] = []
    for hook in hooks:
        try:
            found += hookfiles.judge(hook, context)  # type: ignore[arg-type]
        except (RecursionError, ValueError, IndexError):  # no text of anybody's stops the other checks
            found.append(hookfiles.not_read(hook))  # type: ignore[arg-type]
    return found


def everything(context: Context, config_dir: Path, refused: Sequence[Job] = ()) -> list[Result]:
    """All of it: the context's jobs, the lines that cron refuses, the hooks of certbot's own files."""
    from certbot_guard.doctor import hookfiles

    found = [result for job in (*context.jobs, *refused) for result in of_job(job, context)]
    return found + of_hooks(hookfiles.find(config_dir), context)
