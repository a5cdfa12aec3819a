"""Lineages whose challenges pass through a running Apache, moments of their renewal, and what has to hold then.

One lineage is the one that things happen to, :attr:`Scene.victim`: it is alone, the second of three, or between a
webroot lineage and one that Apache has to be stopped for.
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

from certbot_guard.proxying import placement
from tests.support import processes
from tests.support.certbot import Certbot
from tests.support.context import Context, wait_for
from tests.support.visitors import Visitors

FIRST, VICTIM, LAST = "a-first.guard.test", "b-victim.guard.test", "c-last.guard.test"
ALONE, THREE, MIXED = "alone", "three", "mixed"
# Measured: nothing of the server's own is merged after it, so a lineage with it has to be stopped for.
DENIED = '<If "true">\nRequire all denied\n</If>'
# What would be wrong to say of an Apache that served all the time.
FALSE = ("started again", "could not be stopped", "was stopped", "may be DOWN", "was DOWN", "not serving",
         "Apache is down")
_HELD = {"between the placing and the challenge": ("new-order", 0), "in the challenge": ("challenge", 0),
         "after the challenge": ("authz", 1), "in finalize": ("finalize", 0)}
MOMENTS = ("while it is placed", *_HELD, "between the save and restart", "in the deploy hook", "while settle runs")


class Scene:
    """Apache serves the lineages of ``shape``, and certbot has not begun."""

    def __init__(self, context: Context, shape: str = ALONE, server: str = "",
                 before: Optional[Callable[[], object]] = None, names: Optional[list[str]] = None,
                 **victim: Any) -> None:
        self.context, self.shape = context, shape
        self.swept = False  # what no run could take away has been taken away by recover: no run has noted that
        self.names = names or ([VICTIM] if shape == ALONE else [FIRST, VICTIM, LAST])
        for name in self.names:
            if shape == MIXED and name == FIRST:
                context.obtain(name, authenticator="webroot")
            elif shape == MIXED and name == LAST:
                context.obtain(name, vhost="")
                context.apache.add_vhost(f"{name}-http", server_name=name, extra=DENIED)
            else:
                context.obtain(name, **(victim if name == VICTIM else {}))
        context.guard_ini(server=server)
        if before is not None:
            before()
        context.apache.start()

    @property
    def file(self) -> Path:
        return self.context.apache.vhosts / placement.NAME

    @property
    def behind(self) -> list[str]:
        """The lineages that certbot comes to after the victim."""
        return self.names[self.names.index(VICTIM) + 1:]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Of runs in the state directory, and in the /run of a test that has its own (tests/faults/test_state.py)."""
        context, found = self.context, []
        for place in (context.state, context.directory / "own-run"):
            usual, context.state = context.state, place
            try:
                found += context.events(kind)
            finally:
                context.state = usual
        return found

    def events_of(self, name: str, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events(kind) if event.get("lineage") == name]

    def renewed(self) -> list[str]:
        return [name for name in self.names if self.context.home.version(name) == 2]

    # -- moments -------------------------------------------------------------------------------------------------

    @contextmanager
    def at(self, moment: str, *arguments: str) -> Iterator[Certbot]:
        """certbot, at this moment of the victim's renewal; it goes on afterwards, if it still can."""
        with ExitStack() as ends:
            if moment in _HELD:
                endpoint, after = _HELD[moment]
                held = self.context.ca.hold(endpoint, name=VICTIM, times=1, after=after)
                run = self.context.renew(*arguments, wait=False)
                ends.callback(lambda: held.release(forward=run.running))
                _until(lambda: held.requests, run)
            elif moment == "in the deploy hook":
                run = self.context.renew(*arguments, wait=False)
                ends.callback(self._go_on.touch)
                _until(self._begun.exists, run)
            elif moment == "while settle runs":
                self.context.ca.invalid_challenge(VICTIM, "no such page")
                ends.enter_context(self.nothing_is_told())
                run = self.context.renew(*arguments, wait=False)
                _until(lambda: self.events("closed"), run)
            else:
                happened = {"while it is placed": lambda: self.events_of(VICTIM, "proxy-placing"),
                            "between the save and restart": lambda: VICTIM in self.renewed()}[moment]
                run = self.context.renew(*arguments, wait=False)
                _until(happened, run)
            yield run

    @property
    def _begun(self) -> Path:
        return self.context.directory / "hook-begun"

    @property
    def _go_on(self) -> Path:
        return self.context.directory / "hook-go-on"

    @contextmanager
    def nothing_is_told(self) -> Iterator[None]:
        """Whoever settles a run stands still when Apache's part of it is done: the database is locked."""
        self.context.state.mkdir(mode=0o700, exist_ok=True)
        self.context.state.joinpath("journal.db").touch(0o600)
        with closing(sqlite3.connect(self.context.state / "journal.db", isolation_level=None)) as database:
            database.execute("BEGIN EXCLUSIVE")
            yield

    # -- promises ------------------------------------------------------------------------------------------------

    @contextmanager
    def nobody_notices(self, ours: bool = True, all_of_them: bool = True) -> Iterator[None]:
        """No visitor's request fails within, but while Apache is stopped for the one lineage that needs it.

        :param ours: the file in Apache's configuration is not a stranger's in the end
        :param all_of_them: false where somebody restarts Apache, which cuts visitors off
        """
        context = self.context
        with ExitStack() as watching:
            visitors = watching.enter_context(Visitors(context.apache.address, context.apache.http_port)) \
                if self.shape != MIXED and all_of_them else None
            outage = watching.enter_context(context.apache.watch())
            yield
            context.wait_settled()
            wait_for(lambda: (visitors.answered if visitors else outage.looks) > 50, what="fifty visitors")
            assert not outage.down
        assert visitors is None or visitors.failed == []
        windows = [(event["mono"] - 0.5, self._served_after(event)) for event in self.events("stopping")]
        assert all(event["lineage"] == LAST for event in self.events("stopping"))
        unexplained = [found for found in outage.intervals
                       if not any(begin <= found[0] and found[1] <= end for begin, end in windows)]
        assert not unexplained or not all_of_them, (unexplained, windows)
        self.nothing_stays(ours)

    def _served_after(self, stopped: dict[str, Any]) -> float:
        served = [event["mono"] for event in self.events("serving") if event["mono"] > stopped["mono"]]
        assert served, "a window was not ended"
        return min(served) + 0.5

    def nothing_stays(self, ours: bool = True) -> None:
        """Nothing of ours is in Apache's configuration, or in certbot's; ``ours``: nor a stranger's of that name."""
        context = self.context
        left = [path.name for path in context.apache.vhosts.iterdir() if placement.NAME in path.name]
        assert left == ([] if ours else [placement.NAME])
        placed = {event["number"] for event in self.events("proxy-placing")}
        assert self.swept or placed == {event["number"] for event in self.events("proxy-removed")}
        assert context.apache.serving()
        for path in context.home.config.glob("renewal/*.conf"):
            saved = path.read_text()
            assert "http01_address" not in saved and "certbot_guard" not in saved
            assert f"http01_port = {context.apache.http_port}\n" in saved

    def shows_what_was_renewed(self) -> None:
        for name in self.renewed():
            if self.shape != MIXED or name != LAST:  # which has no virtual host for TLS
                assert self.context.apache.served_certificate(name) == self.context.home.certificate(name), name

    def told(self, *words: str, later: bool = False, allowed: str = "") -> str:
        """The one mail, which holds these words and no false one but ``allowed``.

        Of a lineage that was refused it is said, rightly, that Apache could not be stopped safely.

        :param later: it is from a run after the one that failed
        """
        allowed = allowed or ("could not be stopped" if self.events("refused") else "")
        mail, = self.context.mailbox.stays_at(1, seconds=0.3)
        said = f"{mail.subject}\n{' '.join(mail.text.split())}"
        assert all(word in said for word in words), said
        assert "Apache serves" in said or "Apache was started again" in mail.subject, said
        if not self.events("stopping"):
            assert "It was not stopped in this run." in said, said
            assert not [word for word in FALSE if word in said and word != allowed], said
        for name in self.renewed() if not later else ():
            assert f"{name} not renewed" not in said and f"Not renewed: {name}" not in said, said
        return said

    def told_nothing(self) -> None:
        self.context.mailbox.stays_at(0, seconds=0.3)


def waiting_hook(context: Context) -> str:
    """A deploy hook for :class:`Scene`, that hangs until the moment ``in the deploy hook`` is over."""
    path = context.directory / "bin" / "waits"
    path.write_text(f"#!/bin/sh\ntouch {context.directory}/hook-begun\n"
                    f"while [ -d {context.directory} ] && [ ! -e {context.directory}/hook-go-on ]; do\n"
                    "sleep 0.05; done\n")
    path.chmod(0o755)
    return "waits"


def _until(condition: Callable[[], object], run: Certbot) -> None:
    processes.wait_for(condition, 60.0, "the moment did not come", between=0.002, give_up=lambda: not run.running)
