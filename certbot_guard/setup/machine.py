"""All that setup does outside of itself, each a thin call of the part that knows it.

Tests put something else in its place. Imports late: a setup that ends at its first question has not loaded Apprise.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from certbot_guard import launch
from certbot_guard.config import Config
from certbot_guard.errors import GuardError, ServerError

if TYPE_CHECKING:
    from certbot_guard.adoption import Change, Done
    from certbot_guard.adoption import Survey as Adoptable
    from certbot_guard.doctor.result import Result
    from certbot_guard.installations import Installation
    from certbot_guard.jobs import Job
    from certbot_guard.units.installing import Plan
    from certbot_guard.watch.files import Lineage

CONFIG_DIR = Path("/etc/letsencrypt")
_TEST_SECONDS = 30.0


class Machine:
    """This machine. Looking never raises but where it is said; doing raises GuardError or OSError."""

    # Every certbot that was looked at: a line to put instead names one that sees the plugin.
    _looked_at: tuple[Installation, ...] = ()

    # -- looking -----------------------------------------------------------------------------------------------------

    def certbots(self) -> list[Installation]:
        from certbot_guard import installations

        found = installations.find()
        self._looked_at = tuple(found)
        return found

    def certbot_at(self, program: Path) -> Installation:
        from certbot_guard import installations

        found = installations.of_program(program)
        self._looked_at += (found,)
        return found

    def how_to_install_guard(self, one: Installation) -> str:
        from certbot_guard import installations

        return installations.how_to_install_guard(one)

    def jobs(self) -> list[Job]:
        from certbot_guard import jobs

        return jobs.find()

    def programs(self, job: Job) -> list[Path]:
        from certbot_guard import jobs

        return jobs.programs(job)

    def mistakes(self, settings: Config, found: Sequence[Job], lineages: Mapping[Path, Sequence[Lineage]],
                 adopts: bool) -> list[Result]:
        """What is wrong with what starts certbot, and with the hooks in certbot's own files.

        :param adopts: certificates without an installer count as guarded, since they are about to be
        """
        from certbot_guard import jobs
        from certbot_guard.doctor import mistakes

        installers = {one.name: one.installer or ("guard" if adopts else "")
                      for several in lineages.values() for one in several if not one.error}
        context = mistakes.Context(
            launch.under_systemd(), installers, bool(settings.channels), found,
            blind=frozenset(os.path.realpath(one.program) for one in self._looked_at if one.sees_guard is False),
            certbot=next((one.program for one in self._looked_at if one.sees_guard), None))
        refused = jobs.refused()
        results = [mistakes.everything(context, config_dir, refused) for config_dir in lineages or (CONFIG_DIR,)]
        return list(dict.fromkeys(result for several in results for result in several))

    def lineages(self, config_dir: Path) -> list[Lineage]:
        from certbot_guard.watch import files

        return list(files.read(config_dir))

    def settings_of_certbot(self, config_dir: Path) -> Path:
        """The guard.ini that a certbot with this directory reads, as far as its cli.ini says."""
        from certbot_guard import invocation

        return invocation.read([] if config_dir == CONFIG_DIR else ["--config-dir", str(config_dir)]).guard_config

    def web_server(self, settings: Config) -> str:
        """Which one it is, and whether it serves."""
        from certbot_guard import servers

        try:
            server = servers.find(settings.server, launch.surroundings())
        except ServerError as error:
            return str(error)
        try:
            serves = "it serves" if server.serving(server.look()) else "it does not serve now"
        except Exception as error:  # a third party's server may raise anything
            serves = f"whether it serves is not known: {error}"
        try:
            server.check()
        except Exception as error:
            serves += f"; it would not start again once stopped: {error}"
        return f"{server.name}: {serves}"

    def next_attempt(self) -> str:
        from certbot_guard import schedule

        now = datetime.now(timezone.utc)
        return schedule.words(schedule.next_attempt(now), now)

    def refusal(self, url: str) -> str:
        """Why Apprise does not take this URL, without any part of it; empty if it does."""
        from certbot_guard import services

        return services.refusal(url)

    # -- doing -------------------------------------------------------------------------------------------------------

    def deliver_test(self, settings: Config, channel: str) -> str:
        """A sample of the message about a failure has gone to this channel, or why not is returned."""
        from certbot_guard import journal, notify, samples

        taker = next((one for one in notify.takers(settings) if one.name == channel), None)
        if taker is None:
            return f"there is no usable channel of that name in {settings.path}"
        kinds = samples.every_kind(datetime.now(timezone.utc))
        sample = next((one for one in kinds if one.goes_to(taker)), None)
        if sample is None:
            return "it takes no kind of message: see its [channel ...] section"
        book = journal.Journal.in_memory()
        book.add(sample.message, [channel], 0)
        results = notify.deliver_outbox([book], settings, _TEST_SECONDS)
        if not results:
            return "it was not tried"
        return "" if results[0].ok else results[0].reason or "no answer in time"

    def adoptable(self, config_dir: Path, names: Optional[Sequence[str]], retire_hooks: bool) -> Adoptable:
        """:raises GuardError: the renewal configurations cannot be looked at."""
        from certbot_guard import adoption

        return adoption.survey(config_dir, names, retire_hooks)

    def adopt(self, config_dir: Path, changes: Sequence[Change]) -> list[Done]:
        from certbot_guard import adoption

        return adoption.adopt(config_dir, changes)

    def unit_plan(self, settings: Config) -> Plan:
        """:raises GuardError: they cannot be written here; why, and what to do instead."""
        from certbot_guard.units import installing

        return installing.plan(settings)

    def install_units(self, plan: Plan) -> None:
        from certbot_guard.units import installing

        installing.do(plan)

    def run(self, command: Sequence[str]) -> int:
        """Run it in this terminal, and return its exit code."""
        try:
            child = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL)
        except OSError as error:
            raise GuardError(f"{command[0]} cannot be run: {error.strerror or error}") from error
        try:
            return child.wait()
        except BaseException:
            # Ctrl-C reaches it from the terminal; a SIGTERM came to us alone. certbot cleans up after a SIGINT.
            child.send_signal(signal.SIGINT)
            child.wait()
            raise
