"""The ways in which people renew certificates on a host whose Apache has port 80, each as a thing that can be run.

Each has the same Apache, the same names and the same ACME server. What a way needs is set up before it is measured.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Sequence

from tests.support.certbot import program
from tests.support.context import CRON_PATH, Context, World
from tests.support.site import Site

PATIENCE_SECONDS = 900.0
# Debian's apachectl starts the machine's own apache2.service where systemd runs, unless this says otherwise.
_NO_UNIT: dict[str, Optional[str]] = {"APACHE_STARTED_BY_SYSTEMD": "no unit of its own"}

HOOKS, CRON, WEBROOT = "certbot's pre and post hooks", "`stop ; certbot ; start` in cron", "webroot, reload afterwards"
STOP, AUTO, ACME_SH = "guard, `mode = stop`", "guard, `mode = auto`", "acme.sh, standalone, pre and post hooks"
Prepare = Callable[[Site], None]


@dataclass(frozen=True)
class Way:
    """``site`` makes lineages and an Apache that serves; ``renew`` renews them all, and Apache serves afterwards."""

    site: Callable[[World, Sequence[str], Prepare], Context]
    renew: Callable[[Context], None]


def ways(acme_sh: Optional[Path] = None) -> dict[str, Way]:
    """By title, what people use first."""
    found = {HOOKS: Way(_plain_site("standalone"), _with_hooks), CRON: Way(_plain_site("standalone"), _in_cron),
             STOP: Way(_guarded_site("stop"), _guarded), AUTO: Way(_guarded_site("auto"), _passed_through),
             WEBROOT: Way(_plain_site("webroot"), _with_webroot)}
    if acme_sh is not None and _can_stand_alone():
        found[ACME_SH] = Way(_acme_sh_site(acme_sh), _with_acme_sh)
    return found


def left_out(acme_sh: Optional[Path] = None) -> list[str]:
    """A sentence for each way that was not measured."""
    if acme_sh is None:
        return ["acme.sh is left out: `--acme-sh PATH` names it."]
    if not _can_stand_alone():
        return ["acme.sh is left out: its standalone server needs socat or Python in cron's PATH."]
    return []


def _can_stand_alone() -> bool:
    """acme.sh 3.1.5, _startserver: socat, which answers each request after a second, or else a Python without it."""
    return any(shutil.which(name, path=CRON_PATH) for name in ("socat", "python3", "python2", "python"))


def names(count: int) -> list[str]:
    return [f"n{number:02d}.guard.test" for number in range(count)]


# -- sites -----------------------------------------------------------------------------------------------------------


def _begun(context: Context, lineages: Sequence[str], prepare: Prepare, server: str, **options: object) -> Context:
    try:
        for name in lineages:
            context.obtain(name, **options)
        context.guard_ini(server=server)
        prepare(context.apache)
        context.apache.start()
    except BaseException:
        context.close()
        raise
    return context


def _plain_site(authenticator: str) -> Callable[[World, Sequence[str], Prepare], Context]:
    def site(world: World, lineages: Sequence[str], prepare: Prepare) -> Context:
        return _begun(Context(world, open_directory=True), lineages, prepare, "", guarded=False,
                      authenticator=authenticator)
    return site


def _guarded_site(mode: str) -> Callable[[World, Sequence[str], Prepare], Context]:
    def site(world: World, lineages: Sequence[str], prepare: Prepare) -> Context:
        return _begun(Context(world, open_directory=True), lineages, prepare, f"mode = {mode}")
    return site


def _acme_sh_site(script: Path) -> Callable[[World, Sequence[str], Prepare], Context]:
    """The first issue is through the same hooks: acme.sh remembers them for each name."""
    def site(world: World, lineages: Sequence[str], prepare: Prepare) -> Context:
        context = _begun(Context(world, open_directory=True), lineages, prepare, "", guarded=False)
        try:
            for name in lineages:
                _acme_sh(context, script, "--issue", "-d", name, "--standalone", "--httpport",
                         str(context.apache.http_port), "--server", context.ca.directory_url,
                         "--pre-hook", f"{context.apache.program} graceful-stop",
                         "--post-hook", f"{context.apache.program} start")
            (context.directory / "acme.sh").symlink_to(script)
            context.apache.wait_serving()
        except BaseException:
            context.close()
            raise
        return context
    return site


# -- renewals --------------------------------------------------------------------------------------------------------


def _renew(context: Context, *arguments: str) -> None:
    context.renew(*arguments, check=True, env=_NO_UNIT, timeout=PATIENCE_SECONDS)
    context.apache.wait_serving()


def _with_hooks(context: Context) -> None:
    # graceful-stop: with "stop" the port stays taken for as long as the slowest visitor (docs/flow.md).
    _renew(context, "--pre-hook", f"{context.apache.program} graceful-stop",
           "--post-hook", f"{context.apache.program} start")


def _with_webroot(context: Context) -> None:
    _renew(context, "--deploy-hook", f"{context.apache.program} graceful")


def _in_cron(context: Context) -> None:
    certbot = shlex.join([str(program()), "renew", "--force-renewal", *context.home.arguments])
    apachectl = context.apache.program
    run = context._run(["/bin/sh", "-c", f"{apachectl} graceful-stop ; {certbot} ; {apachectl} start"], True, _NO_UNIT,
                       "/", True, PATIENCE_SECONDS)
    context.apache.wait_serving()
    assert "failure" not in run.output, run.output


def _guarded(context: Context) -> None:
    context.renew(check=True, timeout=PATIENCE_SECONDS)
    context.wait_settled()
    context.apache.wait_serving()


def _passed_through(context: Context) -> None:
    """``mode = auto``, which is the default, has stopped nothing."""
    _guarded(context)
    reasons = [event.get("reason") for event in context.events("not-proxied")]
    assert context.events("proxy-placed") and not context.events("stopping"), reasons


def _with_acme_sh(context: Context) -> None:
    _acme_sh(context, (context.directory / "acme.sh").resolve(), "--cron", "--force")
    context.apache.wait_serving()


def _acme_sh(context: Context, script: Path, *arguments: str) -> None:
    context._run([str(script), *arguments, "--home", str(context.directory / "acme-home"),
                  "--ca-bundle", str(context.ca.ca_bundle)], True, _NO_UNIT, "/", True, PATIENCE_SECONDS)
