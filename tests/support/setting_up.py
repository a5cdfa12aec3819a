"""setup with a person and a machine that a test has made up; its settings, channels and certificates are real.

``python -m tests.support.setting_up DIRECTORY`` has a person at a terminal, and sends its messages.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable, Optional, Union

from certbot_guard.config import Config
from certbot_guard.doctor.result import Result
from certbot_guard.installations import Installation
from certbot_guard.setup import steps
from certbot_guard.setup.asking import Asker, Terminal
from certbot_guard.setup.machine import Machine
from certbot_guard.setup.stopping import Stopping
from certbot_guard.setup.work import Wishes, Work
from certbot_guard.units import installing, planning
from certbot_guard.units.installing import Plan

Answer = Union[str, bool, None, BaseException]
# In place of an answer: what an Enter alone means.
ENTER = None


class Person(Asker):
    """Gives these answers, one to each question, and sees all that is shown. An exception among them is raised."""

    asks = True

    def __init__(self, answers: Sequence[Answer], settled: Optional[dict[str, bool]] = None) -> None:
        super().__init__(settled)
        self.answers, self.seen, self.asked = list(answers), "", 0

    def say(self, words: str = "") -> None:
        self.seen += f"{words}\n"

    def yes(self, name: str, words: str, default: bool = True) -> bool:
        if name in self._settled:
            return self._settled[name]
        answer = self._answer(words)
        assert answer is None or isinstance(answer, bool), f"{words!r} was answered with {answer!r}"
        return default if answer is None else answer

    def text(self, words: str, default: str = "") -> str:
        answer = self._answer(words)
        assert answer is None or isinstance(answer, str), f"{words!r} was answered with {answer!r}"
        return default if answer is None else answer

    def secret(self, words: str) -> str:
        answer = self._answer(words)
        return answer if isinstance(answer, str) else ""

    def choose(self, words: str, choices: Sequence[str], default: str) -> str:
        answer = self.text(words, default)
        assert answer in choices, f"{answer!r} is none of {choices}: {words}"
        return answer

    def _answer(self, words: str) -> Answer:
        self.say(f"? {words}")
        self.asked += 1
        if not self.answers:
            raise AssertionError(f"nobody thought of this question:\n{self.seen}")
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Nobody(Asker):
    """As with --yes."""

    def __init__(self, **settled: bool) -> None:
        super().__init__({"adopt": True, "write": True, "test": True, "units": True, **settled})
        self.seen = ""

    def say(self, words: str = "") -> None:
        self.seen += f"{words}\n"


class Host(Machine):
    """A machine without systemd. ``reasons``: why the next test messages are not taken."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "cron.d").mkdir(exist_ok=True)
        self.sees: Optional[bool] = True
        self.found: list[Any] = []  # jobs
        self.wrong: list[Result] = []
        self.reasons: list[str] = []
        self.sent: list[str] = []
        self.ran: list[list[str]] = []
        self.code = 0
        self.meanwhile: Callable[[str], object] = lambda what: None

    def certbots(self) -> list[Installation]:
        return [Installation(Path("/opt/certbot/bin/certbot"), "pip", Path("/opt/certbot/bin/python"), "5.8.0", self.sees,
                             True)]

    def how_to_install_guard(self, one: Installation) -> str:
        return "/opt/certbot/bin/pip install certbot-guard"

    def jobs(self) -> list[Any]:
        return self.found

    def programs(self, job: Any) -> list[Path]:
        return [self.certbots()[0].program]

    def mistakes(self, settings: Config, found: Any, lineages: Any, adopts: bool) -> list[Result]:
        return self.wrong

    def web_server(self, settings: Config) -> str:
        return "apache2ctl: it serves"

    def next_attempt(self) -> str:
        return "no timer"

    def deliver_test(self, settings: Config, channel: str) -> str:
        self.meanwhile("test")
        self.sent.append(channel)
        return self.reasons.pop(0) if self.reasons else ""

    def adopt(self, config_dir: Path, changes: Any) -> Any:
        self.meanwhile("adopt")
        return super().adopt(config_dir, changes)

    def unit_plan(self, settings: Config) -> Plan:
        return installing.plan(settings, "cron", planning.Places(
            systemd=self.directory / "system", known=(), cron_d=self.directory / "cron.d",
            stamps=self.directory / "stamps"))

    def run(self, command: Sequence[str]) -> int:
        self.ran.append(list(command))
        return self.code


RENEWAL = """\
# a comment
version = 2.1.0
archive_dir = {home}/archive/{name}
cert = {home}/live/{name}/cert.pem
privkey = {home}/live/{name}/privkey.pem
chain = {home}/live/{name}/chain.pem
fullchain = {home}/live/{name}/fullchain.pem

[renewalparams]
authenticator = standalone
{more}server = https://ca.guard.test/directory
"""


class Stage:
    """A directory of certbot's with certificates, and setup for it."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "letsencrypt"
        (self.home / "renewal").mkdir(parents=True, exist_ok=True)
        self.ini = self.home / "guard.ini"
        self.host = Host(directory)
        self.code = -1
        self.asker: Any = None

    def certificate(self, name: str = "www.example.com", more: str = "") -> Path:
        path = self.home / "renewal" / f"{name}.conf"
        path.write_text(RENEWAL.format(home=self.home, name=name, more=more))
        return path

    def run(self, asker: Any, **wishes: Any) -> str:
        """What was shown. ``code`` is the exit code, ``asker`` who was asked."""
        self.asker = asker
        with Stopping() as stopping:
            self.code = steps.run(Work(self.ini, asker, self.host, stopping, Wishes(**wishes)))
        return str(getattr(asker, "seen", ""))

    def state(self) -> dict[str, bytes]:
        """Every file that setup may have had a hand in."""
        return {str(path.relative_to(self.host.directory)): path.read_bytes()
                for path in sorted(self.host.directory.rglob("*")) if path.is_file()}


class _Sending(Host):
    def deliver_test(self, settings: Config, channel: str) -> str:
        return Machine.deliver_test(self, settings, channel)


if __name__ == "__main__":
    at = Stage(Path(sys.argv[1]))
    at.host = _Sending(Path(sys.argv[1]))
    at.run(Terminal({"units": False, "dry-run": False}))
    sys.exit(at.code)
