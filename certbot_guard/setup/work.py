"""What every step of setup has in its hands: who is asked, this machine, and what came of the steps before.

:meth:`Work.do` is the one place where something is done: after it was shown, after a yes, to its end.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

from certbot_guard.config import default_path
from certbot_guard.errors import GuardError
from certbot_guard.setup.asking import Asker
from certbot_guard.setup.machine import CONFIG_DIR, Machine
from certbot_guard.setup.stopping import Stopping
from certbot_guard.setup.tally import Tally

YES, NO, SHOW = "yes", "no", "show"


@dataclass(frozen=True)
class Wishes:
    """What the command line says.

    :ivar plan: show what would be done, and do nothing
    :ivar channels: URLs by the name of their channel
    :ivar adopt: the lineages to adopt; None: every one that names no other installer
    :ivar retire_hooks: None: a person is asked, and nobody's hooks are retired where nobody is
    :ivar test: True: every channel gets a test message; None: the new ones; False: none
    """

    plan: bool = False
    channels: dict[str, str] = field(default_factory=dict)
    adopt: Optional[tuple[str, ...]] = None
    retire_hooks: Optional[bool] = None
    test: Optional[bool] = None


@dataclass
class Work:
    config_path: Path
    asker: Asker
    machine: Machine
    stopping: Stopping
    wishes: Wishes = field(default_factory=Wishes)
    tally: Tally = field(default_factory=Tally)

    @property
    def ours(self) -> str:
        """How a person starts certbot-guard here, up to the name of a command."""
        program = Path(sys.executable).with_name("certbot-guard")
        found = shutil.which(program.name)
        known = not program.exists() or found is not None and os.path.realpath(found) == os.path.realpath(program)
        words = [program.name if known else str(program)]
        if self.config_path != default_path(CONFIG_DIR):
            words += ["--config", str(self.config_path)]
        return shlex.join(words)

    def say(self, *lines: str) -> None:
        for line in lines:
            self.asker.say(line)

    def fail(self, what: str, reason: object) -> None:
        """It goes on without; the exit code will be 1."""
        self.say(f"That could not be done: {reason}")
        self.tally.failed.append(f"{what}: {reason}")

    def leave_out(self, what: str) -> None:
        """An option wants it so."""
        self.say("  Left out.")
        self.tally.skipped.append(what)

    def do(self, name: str, what: str, question: str, action: Callable[[], object], default: bool = True,
           details: Sequence[str] = ()) -> bool:
        """After a yes, ``action`` has been done to its end. What it could not do is said, and may be tried again.

        :param what: as it stands in the summary, where ``action`` returns no words of its own for that
        :param details: what is shown to who asks for more
        """
        if self.wishes.plan:
            self.tally.would.append(what)
            return False
        if not self._agreed(name, question, default, details):
            self.tally.skipped.append(what)
            return False
        while True:
            try:
                with self.stopping.held():  # a Ctrl-C waits for the end of it: it is bounded, and short
                    words = action()
                    self.tally.done += [word for word in [words if isinstance(words, str) else what] if word]
                    return True
            except (GuardError, OSError) as error:
                reason = error
            question = f"That could not be done: {reason}\nTry it again?"
            if not (self.asker.asks and self.asker.yes("again", question, False)):
                self.fail(what, reason)
                return False

    def _agreed(self, name: str, question: str, default: bool, details: Sequence[str]) -> bool:
        if not details or not self.asker.asks or self.asker.is_settled(name):
            return self.asker.yes(name, question, default)
        while True:
            answer = self.asker.choose(question, [YES, NO, SHOW], YES if default else NO)
            if answer != SHOW:
                return answer == YES
            self.say(*details)
