"""The steps of setup in their order. :func:`run` is the whole of it; each step is shown and asked by itself."""

from __future__ import annotations

from certbot_guard.errors import GuardError
from certbot_guard.phrases import sentence
from certbot_guard.setup import guarding, noticing, surveying
from certbot_guard.setup.stopping import StoppedError
from certbot_guard.setup.telling import Telling
from certbot_guard.setup.work import Work

_STEPS = ("What is on this machine", "Who is told", "The settings", "A test message", "Certificates", "Units",
          "A dry run")


def run(work: Work) -> int:
    """All steps; what was done is said, also when they are stopped. Returns the exit code."""
    try:
        _run(work)
        work.asker.heading("Summary")
        work.say(*work.tally.summary())
        work.say("", "Next:", f"  {work.ours} doctor", "    looks for what is still wrong", f"  {work.ours} status",
                 "    shows every certificate, and what became of it")
    except StoppedError as stopped:
        try:
            work.say("", f"Stopped. {work.tally.so_far(f'{work.ours} setup')}")
        except OSError:
            pass  # the terminal has gone
        return stopped.code
    except GuardError as error:
        work.say("", f"{sentence(str(error))}. {work.tally.so_far(f'{work.ours} setup')}")
        return 1
    return work.tally.code()


def _run(work: Work) -> None:
    if work.asker.asks:
        work.say("Each step is shown before it is done, and can be skipped. Ctrl-C ends it; what is done stays done.")
    _heading(work, 1)
    telling = Telling(work)
    if work.asker.asks:
        work.say("  Looking at it ...")
    survey = surveying.look(work.machine, telling.settings(), work.wishes.adopt != ())
    work.say(*surveying.lines(survey))
    if not noticing.notice(work, survey):
        return
    _heading(work, 2)
    telling.ask()
    _heading(work, 3)
    was_written = telling.write()
    _heading(work, 4)
    telling.test(was_written)
    _heading(work, 5)
    guarding.adopt(work, survey)
    noticing.forget_mended(work, survey, telling.settings())
    _heading(work, 6)
    guarding.install_units(work)
    _heading(work, 7)
    guarding.rehearse(work, survey)


def _heading(work: Work, number: int) -> None:
    work.asker.heading(f"{number}/{len(_STEPS)} {_STEPS[number - 1]}")
