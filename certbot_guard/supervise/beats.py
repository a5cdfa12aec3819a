"""The dead man's switch hears of a supervised command's start and end, in the place of the runs that it makes.

A certbot that had nothing to renew opens no run, and one that never loads the plugin cannot: only who supervises it
knows that it was there.
"""

from __future__ import annotations

from typing import Optional

from certbot_guard import heartbeat, logtail, text, verdict
from certbot_guard.config import Config
from certbot_guard.invocation import Invocation
from certbot_guard.said import Recorded
from certbot_guard.supervise.command import Ended
from certbot_guard.supervise.holding import BEATS

_OUTPUT_LIMIT = 4000


class Beats:
    """Silent where no heartbeat is configured, and for a command that says nothing of whether renewals go on."""

    def __init__(self, config: Config, asked: Invocation) -> None:
        self._url = config.heartbeat_url if asked.verb in (None, "renew") and not asked.dry_run else None
        self._rid = heartbeat.rid()

    @property
    def environment(self) -> dict[str, str]:
        return {BEATS: "1"} if self._url else {}

    def start(self) -> None:
        if self._url:
            heartbeat.start(self._url, self._rid)

    def end(self, ended: Ended, runs: list[Recorded]) -> None:
        """:param runs: of certbot, in the last attempt: one may have gone wrong though certbot's exit code is 0"""
        if not self._url:
            return
        bad: Optional[str] = None
        for run in runs:
            found = verdict.of(run.facts, run.events)
            bad = bad or (None if found.ok else verdict.account_of(run.facts, found))
        said = "\n".join(text.lines(logtail.masked(ended.output.decode("utf-8", "replace")), _OUTPUT_LIMIT))
        if bad is not None and not ended.failed:
            heartbeat.fail(self._url, self._rid, bad)
        else:
            heartbeat.exit_code(self._url, self._rid, ended.passed_on, bad or said)
