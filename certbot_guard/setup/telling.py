"""The steps of setup about who is told: channels, guard.ini, and whether a test message arrives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from certbot_guard import config as configuration
from certbot_guard.config import Config
from certbot_guard.errors import GuardError
from certbot_guard.setup import channels, masking, surveying
from certbot_guard.setup.channels import Made
from certbot_guard.setup.work import CONFIG_DIR, Work

CHANGE, AGAIN, KEEP, DROP = "change", "again", "keep", "drop"


class Telling:
    """guard.ini as it was before, the channels that were made since, and what of that is written."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._before: Optional[str] = None
        self._written: Optional[str] = None
        self._made: dict[str, Made] = {}
        self._said = ""  # of the file, in the tally

    def settings(self) -> Config:
        return configuration.load(self._work.config_path)

    # -- the steps ---------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Channels are made: those of the command line, then those that a person describes. Nothing is written yet."""
        work, settings = self._work, self.settings()
        known = {one.name: one.url for one in settings.channels}
        for problem in settings.problems:
            work.say(f"  {problem.text}")
        if known:
            work.say("  guard.ini has:", *_lines(known))
        else:
            work.say("  guard.ini has no channel: until there is one, only the system log is told.")
        for name, url in work.wishes.channels.items():
            if known.get(name) != url:
                self._made[name] = Made(name, url)
        while work.asker.asks and not work.wishes.plan:
            made = channels.ask(work.asker, {**known, **self._made}, work.machine.refusal, not self._made)
            if made is None:
                break
            same = next((name for name, url in known.items() if url == made.url), None)
            if same is not None:
                work.say(f"guard.ini has this very channel, as '{same}'; it is left as it is.")
            else:
                self._made[made.name] = made
        if not known and not self._made:
            self._leave_to_a_person()

    def write(self) -> bool:
        """guard.ini has the channels that were made; all else in it stays as it is. True where it was changed."""
        from certbot_guard import settingsfile

        work = self._work
        if not self._made:
            work.say(f"  {self._path} {'stays as it is' if os.path.lexists(self._path) else 'is not written'}.")
            return False
        try:
            self._before = settingsfile.read(self._path)
            text = self._wanted(self._before, self._made)
        except GuardError as error:
            work.fail(f"write {self._path}", error)
            return False
        names = ", ".join(self._made)
        if self._before is None:
            work.say(f"  new file {self._path}, mode 0600:", "",
                     *(f"    {line}".rstrip() for line in masking.of_text(text)))
        else:
            work.say(f"  {self._path}, in [notify]:", "",
                     *_lines(self._urls(self._made)), "",
                     "  All else in it stays as it is, and the file as it was is kept beside it.")
        return work.do("write", f"write {self._path}: {names}", "Write it?", self._write)

    def test(self, was_written: bool) -> None:
        """Each new channel, or each one, was sent a message, and a person has said whether it arrived."""
        work, wanted = self._work, self._work.wishes.test
        new = list(self._made) if was_written or work.wishes.plan else []
        names = [one.name for one in self.settings().channels if wanted or one.name in new]
        names += [name for name in new if work.wishes.plan and name not in names]
        if not names:
            work.say("  There is no new channel to try.")
        elif work.wishes.plan:
            work.say("  Nothing is sent with --plan." if wanted is False else f"  It would go to {', '.join(names)}.")
        elif wanted is False or not work.asker.yes("test", f"Send a test message to {', '.join(names)}?"):
            work.tally.skipped.append(f"send a test message to {', '.join(names)}")
        else:
            for name in names:
                self._try(name)

    # -- one channel -------------------------------------------------------------------------------------------------

    def _try(self, name: str) -> None:
        """Until it arrives, or a person has had enough of it."""
        work = self._work
        while True:
            work.say(f"Sending a test message to {name} ...")
            reason = work.machine.deliver_test(self.settings(), name)
            work.say(f"{name}: {f'it was not taken: {reason}' if reason else 'it was taken'}")
            if not reason and (not work.asker.asks or work.asker.yes("arrived", f"Did it arrive at {name}?")):
                work.tally.tried.append(f"a test message to {name} " + ("arrived" if work.asker.asks else "was taken"))
                return
            if not work.asker.asks:
                work.tally.failed.append(f"the test message to {name} was not taken: {reason}; the channel stays")
                return
            if not reason:
                work.say("The service took it, so the way there is open. Look whether the recipient or the room is the "
                         "right one, and into the folder for spam.")
            if not self._mend(name, reason):
                return

    def _mend(self, name: str, reason: str) -> bool:
        """What a person wants done about it; true: it is to be tried once more."""
        work = self._work
        made = self._made.get(name)
        choices = [CHANGE, AGAIN, KEEP, DROP] if made is not None else [CHANGE, AGAIN, KEEP]
        answer = work.asker.choose(f"What about {name}?", choices, CHANGE)
        if answer == CHANGE:
            changed = channels.ask_again(work.asker, made or Made(name, ""), work.machine.refusal)
            if changed is not None:
                self._made[name] = changed
                return work.do("write", f"write {self._path}: {name}, changed", "Write it?", self._write)
        elif answer == AGAIN:
            return True
        elif answer == DROP and made is not None:
            del self._made[name]
            words = f"write {self._path}: {name} as before"
            if work.do("write", words, f"Write {self._path} without it?", self._write) \
                    and any(one.url == made.url for one in self.settings().channels):
                work.say(f"{self._path} was changed by somebody else meanwhile: take the line of {name} out yourself.")
            if not self.settings().channels:
                self._leave_to_a_person()
            return False
        became = f"was not taken: {reason}" if reason else "did not arrive"
        work.tally.failed.append(f"the test message to {name} {became}")
        return False

    def _leave_to_a_person(self) -> None:
        work = self._work
        work.tally.left.append(f"say who is to be told: {work.ours} setup, or write it in [notify] of {self._path}")

    # -- the file ----------------------------------------------------------------------------------------------------

    @property
    def _path(self) -> Path:
        return self._work.config_path

    def _write(self) -> str:
        """What was changed in the file since we have read it stays. Returns what was done to it, all times together.

        :raises GuardError: it cannot be written; it is what it was.
        """
        from certbot_guard import settingsfile

        now = settingsfile.read(self._path)
        if now is None and not self._path.parent.exists():
            os.mkdir(self._path.parent, 0o755)  # as certbot makes it
        # A channel that was dropped goes by this: the text of before never had it, or had it otherwise.
        base = self._before if now == self._written else now
        text = self._wanted(base, self._made)
        settingsfile.write(self._path, text, seen=now or "")
        self._before, self._written = base, text
        self._work.tally.done = [word for word in self._work.tally.done if word != self._said]
        self._said = (f"wrote {self._path}: {', '.join(self._made)}" if self._made else
                      f"wrote {self._path}, without a channel" if base is None else
                      f"wrote {self._path}, and took out again what was new in it")
        return self._said

    def _wanted(self, before: Optional[str], made: Mapping[str, Made]) -> str:
        from certbot_guard import settingsfile

        urls = self._urls(made)
        if before is not None:
            return settingsfile.with_channels(before, urls)
        where = surveying.config_dir(Config(self._path, missing=True))
        return settingsfile.fresh(urls, {} if where == CONFIG_DIR else {"certbot": {"config_dir": str(where)}})

    def _urls(self, made: Mapping[str, Made]) -> dict[str, str]:
        return {name: one.url for name, one in made.items()}


def _lines(urls: Mapping[str, str]) -> list[str]:
    return [f"    {name} = {masking.of_url(url)}" for name, url in urls.items()]
