"""certbot, or whoever ends its passage, is killed between two steps of it, at the line where that is worst.

The process stands still at that line, having said so, and gets SIGKILL. Apache serves throughout, nothing of ours stays
in its configuration once somebody has settled or recovered, and the next run works.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Optional

import pytest

from certbot_guard import launch
from certbot_guard.proxying import loopback, placement, placing, snippet
from certbot_guard.servers.apache import ApacheServer
from tests.support import processes
from tests.support.certbot import Certbot
from tests.support.context import Context
from tests.support.passages import VICTIM, Scene

SENTINEL, RECOVER, NEXT = "the sentinel", "recover", "the next run"
# Python runs it before the program. Those that certbot starts are started with -I, and do not: it alone stands still.
_STANDS_STILL = '''
import os, signal, sys

def stand(*_):
    if os.path.exists({reached!r}):
        return  # once
    open({reached!r}, "x").close()
    while True:
        signal.pause()

def before(owner, name, when=lambda *words: True):
    whole = getattr(owner, name)
    def standing(*arguments, **options):
        if when(arguments, options):
            stand()
        return whole(*arguments, **options)
    setattr(owner, name, standing)

def after(owner, name):
    whole = getattr(owner, name)
    def standing(*arguments, **options):
        result = whole(*arguments, **options)
        stand()
        return result
    setattr(owner, name, standing)

from certbot_guard import passage
from certbot_guard.proxying import ourfile, placing, selfcheck
{where}
'''


@dataclass(frozen=True)
class Line:
    """``where`` a process stands still, in Python.

    ``file``: what is there, ``absent``, ``half`` written beside, ``whole``, ``empty``. ``graceful``: how often Apache
    was reloaded before. ``refused``: the CA refuses the challenge, so the passage ends without a certificate.
    """

    name: str
    where: str
    file: str
    graceful: int
    refused: bool = False


HALF = "before(os, 'fsync', lambda *_: sys._getframe(2).f_globals is vars(ourfile))"
IN_CERTBOT = (
    Line("announced, not written", "before(ourfile, 'write')", "absent", 0),
    Line("half written", HALF, "half", 0),
    Line("written, not reloaded", "after(ourfile, 'write')", "whole", 0),
    Line("reloaded, not self-checked", "before(selfcheck, 'check')", "whole", 1),
    Line("self-checked, not noted", "after(selfcheck, 'check')", "whole", 1),
    Line("withdrawn, not reloaded", "after(passage, 'withdraw')", "empty", 1),
    Line("withdrawn and reloaded, not unlinked", "before(ourfile, 'unlink')", "empty", 2),
    Line("withdrawn, reloaded and unlinked, not noted", "after(ourfile, 'unlink')", "absent", 2),
    Line("refused: emptied, not reloaded", "before(placing, 'forget')", "empty", 1, refused=True),
    Line("refused: reloaded, not unlinked", "after(placing, 'forget')", "empty", 2, refused=True),
    Line("refused: unlinked, not noted", "after(ourfile, 'unlink')", "absent", 2, refused=True),
)
IN_SETTLE = (
    Line("settle: nothing done", "before(placing, 'take_away')", "whole", 1),
    Line("settle: half emptied", HALF, "half", 1),
    Line("settle: emptied, not reloaded", "before(placing, 'forget')", "empty", 1),
    Line("settle: reloaded, not unlinked", "after(placing, 'forget')", "empty", 2),
    Line("settle: unlinked, not noted", "after(placing, 'take_away')", "absent", 2),
)
IN_RECOVER = (
    Line("recover: half emptied", HALF, "half", 1),
    Line("recover: emptied, not reloaded", "before(placing, 'forget')", "empty", 1),
    Line("recover: reloaded, not unlinked", "after(placing, 'forget')", "empty", 2),
    Line("recover: unlinked, not said", "after(ourfile, 'unlink')", "absent", 2),
)


@pytest.fixture
def context(new_context: Callable[..., Context]) -> Context:
    """An Apache that includes a directory, as distributions do: ``mode = auto`` lets challenges through."""
    return new_context(open_directory=True)


def table(lines: tuple[Line, ...], who: tuple[str, ...]) -> list:
    """Each line with each who comes afterwards; one of them, by turns, is not long."""
    return [pytest.param(line, comes, id=f"{line.name}, then {comes}",
                         marks=pytest.mark.long if column != row % len(who) else ())
            for row, line in enumerate(lines) for column, comes in enumerate(who)]


def standing_still(context: Context, line: Line) -> dict[str, str]:
    """An environment in which Python programs stand still at this line."""
    directory = context.directory / "standing"
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(_STANDS_STILL.format(reached=str(reached(context)), where=line.where))
    return {"PYTHONPATH": str(directory)}


def reached(context: Context) -> Path:
    return context.directory / "reached"


def wait_reached(context: Context, running: Callable[[], object]) -> None:
    processes.wait_for(reached(context).exists, 60.0, "the line was not reached", give_up=lambda: not running())


def assert_it_is(scene: Scene, line: Line) -> None:
    """The process stands where it should: a test that kills it elsewhere shows nothing."""
    content = scene.file.read_text() if scene.file.exists() else ""
    says = any(text and not text.startswith("#") for text in content.splitlines())
    left = [path.name for path in scene.file.parent.iterdir() if path.name.startswith(f".{placement.NAME}.")]
    if line.file == "half":
        assert len(left) == 1 and says == bool(line.graceful)
    else:
        assert left == [] and scene.file.exists() == (line.file != "absent")
        assert says == (line.file == "whole") and content.startswith(snippet.MARK) == (line.file != "absent")
    assert scene.context.apache.error_log.read_bytes().count(b"Doing graceful restart") == line.graceful


@contextmanager
def nobody_notices_and_the_next_run_works(scene: Scene) -> Iterator[None]:
    context = scene.context
    with scene.nobody_notices():
        yield
        context.wait_settled()
        assert context.guard("recover").stdout == "Nothing was unfinished.\n"
    assert not context.events("stopping")
    told, version = len(context.mailbox.messages), context.home.version(VICTIM)
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0, run.output
    assert context.home.version(VICTIM) == version + 1
    scene.nothing_stays()
    scene.shows_what_was_renewed()
    assert all("again" in mail.subject for mail in context.mailbox.messages[told:])


def come(context: Context, who: str, refused: bool = False) -> None:
    done: Optional[Certbot] = None
    if who == RECOVER:
        done = context.guard("recover")
    elif who == NEXT and refused:  # Apache would be stopped for any other, since a challenge that passed through failed
        done = context.renew("--dry-run", force=False)
    elif who == NEXT:
        done = context.renew()
    assert done is None or done.returncode == 0, done.output
    context.wait_settled()
    assert not [path for path in context.apache.vhosts.iterdir() if placement.NAME in path.name]


@pytest.mark.parametrize("line, comes", table(IN_CERTBOT, (SENTINEL, RECOVER, NEXT)))
def test_certbot_is_killed_between_two_steps(context: Context, line: Line, comes: str) -> None:
    scene = Scene(context)
    refused = context.ca.invalid_challenge(VICTIM, "no such page") if line.refused else None
    with nobody_notices_and_the_next_run_works(scene):
        run = context.renew(wait=False, env=standing_still(context, line))
        wait_reached(context, lambda: run.running)
        assert_it_is(scene, line)
        for pid in (*(context.sentinels() if comes != SENTINEL else ()), run.pid):
            os.kill(pid, signal.SIGKILL)
        assert run.wait().returncode == -signal.SIGKILL
        context.wait_settled()
        if refused is not None:
            refused.release()
        come(context, comes, line.refused)
        scene.told("certbot died", *([VICTIM] if context.events("lineage") else []), later=True)


@pytest.mark.parametrize("line, comes", table(IN_SETTLE, (RECOVER, NEXT)))
def test_settle_is_killed_between_two_steps(context: Context, line: Line, comes: str) -> None:
    scene = Scene(context)
    with nobody_notices_and_the_next_run_works(scene):
        left_behind(scene)
        main = "import sys; from certbot_guard import settle; sys.exit(settle.main(sys.argv[1:]))"
        settling = subprocess.Popen([sys.executable, "-c", main, str(context.run_directory())], cwd="/",
                                    env={**context.environment, **standing_still(context, line)},
                                    stdin=subprocess.DEVNULL, start_new_session=True)
        wait_reached(context, lambda: settling.poll() is None)
        assert_it_is(scene, line)
        settling.kill()
        settling.wait()
        come(context, comes)
        scene.told("certbot died", VICTIM, later=True)


def left_behind(scene: Scene) -> None:
    """certbot and its sentinel were killed in the challenge, and the file is there."""
    with scene.at("in the challenge") as run:
        for pid in (*scene.context.sentinels(), run.pid):
            os.kill(pid, signal.SIGKILL)
        run.wait()
    scene.context.wait_settled()
    assert scene.file.exists()


@pytest.mark.parametrize("line, comes", table(IN_RECOVER, (RECOVER, NEXT)))
def test_recover_is_killed_between_two_steps_with_a_file_that_no_run_remembers(
        context: Context, line: Line, comes: str) -> None:
    scene = Scene(context)
    server = ApacheServer(context.apache.program, {**launch.surroundings(), **context.apache.environment})
    with nobody_notices_and_the_next_run_works(scene):
        placing.place(server, loopback.free_port(), 2**22 - 1, [VICTIM])
        recovering = context.guard("recover", wait=False, env=standing_still(context, line))
        wait_reached(context, lambda: recovering.running)
        assert_it_is(scene, line)
        recovering.send(signal.SIGKILL)
        recovering.wait()
        come(context, comes)
    assert context.mailbox.messages == []
