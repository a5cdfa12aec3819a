"""The killable process that holds Apprise: jobs on standard input, outcomes to a file for each channel.

Apprise is imported once, here, and never in certbot's process; then each channel gets a process of its own by ``fork``,
so that one that hangs delays no other. A sender is ``nobody`` where that is possible, has a timer that kills it, and
never returns. No URL is read before the forks, so that a sender has only its own channel's in its memory; and nothing
that it inherits is another channel's. Started by :mod:`certbot_guard.notify` alone; isolated, in ``/``, with an empty
environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

from certbot_guard import outcomes, redact, text, unprivileged

# A stranger's reply is read whole by requests; this much is far more than any service's answer needs.
_MEMORY_LIMIT_BYTES = 2 * 1024 * 1024 * 1024
# Longer than Apprise's own time-outs (4 s): the service may have said yes after we stopped listening.
_DOUBT_AFTER_SECONDS = 3.5
_REASON_LIMIT = 300
_SYSLOG_LINES = 60
_NOBODY_TOLD = ("Nobody else was told, since guard.ini names no channel. Add one to its section [notify], such as: "
                "email = mailtos://user:password@smtp.example.com?to=you@example.com")


def main() -> int:
    """Deliver the jobs on standard input; 0 when every channel's sender has ended."""
    plan = json.loads(_plan())
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    deadline = float(plan["deadline_seconds"])
    # For ourselves, too: with the parent killed nobody else ends us.
    signal.setitimer(signal.ITIMER_REAL, deadline + 1.0)
    services = _Services() if plan["apprise"] else None
    if threading.active_count() != 1:
        raise RuntimeError("a thread before the fork would leave its locks held in every sender")
    began = time.monotonic()
    senders: list[_Sender] = []
    for one in plan["senders"]:
        left = max(0.1, deadline - (time.monotonic() - began))
        senders.append(_fork(one, plan["senders"], senders, services, left))
    for sender in senders:
        _hand_on(sender)
    for sender in senders:
        os.waitpid(sender.pid, 0)
    return 0


def who() -> int:
    """Say who would send here, and if that is root, why: after Apprise was imported, as a sender finds it."""
    _Services()
    reason = unprivileged.give_up()
    os.write(1, json.dumps({"uid": os.geteuid(), "reason": reason}).encode())
    return 0


@dataclass(frozen=True)
class _Sender:
    """One that was forked. ``pipe`` is where its job of ``size`` bytes goes to."""

    pid: int
    pipe: int
    size: int


def _plan() -> bytes:
    """The first line, and not a byte of what follows it: those are URLs."""
    line = b""
    while not line.endswith(b"\n"):
        one = os.read(0, 1)
        if not one:
            break
        line += one
    return line


def _hand_on(sender: _Sender) -> None:
    left = sender.size
    with open(sender.pipe, "wb", buffering=0) as pipe:
        while left:
            part = os.read(0, min(left, 65536))
            if not part:
                return
            left -= len(part)
            try:
                while part:
                    part = part[pipe.write(part):]
            except BrokenPipeError:  # that sender is gone; the next one's job comes behind
                continue


def _fork(one: dict[str, Any], all_of_them: list[dict[str, Any]], before: list[_Sender],
          services: Optional[_Services], deadline_seconds: float) -> _Sender:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        return _Sender(pid, writing, one["bytes"])
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, deadline_seconds)  # a parent's timer is not inherited
        os.dup2(reading, 0)  # in the place of everybody's jobs
        os.dup2(one["outcomes"], 1)
        others = {number for other in all_of_them for number in (other["outcomes"], *other["leases"])}
        for number in {reading, writing, *(sender.pipe for sender in before), *others} - {*one["leases"]}:
            os.close(number)
        _limit(resource.RLIMIT_AS, _MEMORY_LIMIT_BYTES)
        _limit(resource.RLIMIT_FSIZE, outcomes.LIMIT_BYTES)
        unprivileged.give_up()
        with open(0, "rb", closefd=False) as given:
            job = given.read()
        if len(job) == one["bytes"]:  # otherwise the settler was killed before it had said all
            _send_all(json.loads(job), services)
    finally:
        os._exit(0)


def _limit(which: int, most: int) -> None:
    """No more than this, nor than what whoever started us may have: a unit or a container can allow less."""
    try:
        _, hard = resource.getrlimit(which)
        resource.setrlimit(which, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    except (OSError, ValueError):
        pass  # people are told all the same


def _send_all(channel: dict[str, Any], services: Optional[_Services]) -> None:
    """Every message of one channel, oldest first; after a failure the rest waits for another day, in order."""
    for message in channel["messages"]:
        _write(message, None)
        began = time.monotonic()
        done = set(message["done"])
        try:
            reason = _send(channel, message, services, done)
        except Exception as error:  # Apprise's plugins raise what they like; the text may hold anything
            reason = f"Apprise failed: {type(error).__name__}"
        _write(message, not reason, reason=reason, done=sorted(done),
               doubt=bool(reason) and time.monotonic() - began > _DOUBT_AFTER_SECONDS)
        if reason and not message["stubborn"]:
            return


def _write(message: dict[str, Any], ok: Optional[bool], **more: Any) -> None:
    row = {"message": message["id"], "attempt": message["attempt"], "ok": ok, **more}
    os.write(1, b"\n" + json.dumps(row).encode() + b"\n")


def _send(channel: dict[str, Any], message: dict[str, Any], services: Optional[_Services], done: set[str]) -> str:
    """Why it did not go out, or an empty string. ``done`` gains each of the channel's services that has it."""
    if channel.get("problem"):
        return text.line(channel["problem"], _REASON_LIMIT)
    if channel.get("syslog"):
        if not os.path.exists("/dev/log"):
            return "there is no system log here (/dev/log)"
        to_syslog(message)
        return ""
    assert services is not None
    reasons = []
    found = list(services.of(channel))
    if not found:
        return ("Apprise does not accept this channel's URL" if "url" in channel
                else "Apprise finds no service in the file")
    for url, service in found:
        # The message's id goes in so that one URL does not look the same in every row.
        mark = hashlib.sha256(f"{message['id']}\0{url}".encode("utf-8", "replace")).hexdigest()[:16]
        if mark not in done:
            reason = services.notify(service, message)
            if reason:
                reasons.append(text.line(redact.strike_out(reason, [url, channel.get("url", "")]), _REASON_LIMIT))
            else:
                done.add(mark)
    return "; ".join(reasons)[:_REASON_LIMIT]


class _Services:
    """Apprise, imported and warm: everything that it loads late is loaded before the forks, as root."""

    def __init__(self) -> None:
        import apprise

        from certbot_guard import reasons, render

        self._apprise, self._reasons, self._render = apprise, reasons, render
        warm = apprise.Apprise(asset=self._asset())
        warm.add("json://127.0.0.1:9/")  # loads every service: 220 ms, once (measured, Apprise 1.9 and 2.2)

    def _asset(self) -> Any:
        options = {"app_id": "certbot-guard", "app_desc": "certbot-guard", "image_url_mask": "", "image_url_logo": "",
                   "async_mode": False}
        if hasattr(self._apprise.AppriseAsset, "storage_mode"):  # since there is one: nothing is kept on disk
            options["storage_mode"] = "memory"
        return self._apprise.AppriseAsset(**options)

    def of(self, channel: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """The channel's services, new objects each time: a used one waits before it sends again (mail: 5.5 s)."""
        asset = self._asset()
        if "url" in channel:
            holder = self._apprise.Apprise(asset=asset)
            # What Apprise logs of a URL it refuses holds the URL.
            with self._apprise.LogCapture(level=50):
                accepted = holder.add(channel["url"])
            services = list(holder) if accepted else []
        else:
            config = self._apprise.AppriseConfig(asset=asset)
            with self._apprise.LogCapture(level=50):
                config.add_config(channel["file"], asset=asset,
                                  format="yaml" if channel["suffix"] in (".yml", ".yaml") else None)
                # AppriseConfig.servers() is services() from 2.x; an Apprise holds them by one name in all.
                holder = self._apprise.Apprise(asset=asset)
                holder.add(config)
                services = list(holder)
        for service in services:
            url = channel.get("url") or service.url(privacy=False)
            if "overflow=" not in url:
                # Unless asked otherwise Apprise sends a text that is too long as it is, and the service refuses it.
                service.overflow_mode = self._apprise.OverflowMode.TRUNCATE
            yield url, service

    def notify(self, service: Any, message: dict[str, Any]) -> str:
        """Why the service did not take it, or an empty string."""
        kinds = self._apprise.NotifyType
        kind = kinds.SUCCESS if message["event"] == "recovery" else {
            "critical": kinds.FAILURE, "warning": kinds.WARNING}.get(message["severity"], kinds.INFO)
        form = self._render.form(self._describe(service), message["title"], message["body"] or message["title"],
                                 "info" if message["event"] == "recovery" else message["severity"])
        formats = {"html": self._apprise.NotifyFormat.HTML, "text": self._apprise.NotifyFormat.TEXT}
        holder = self._apprise.Apprise(asset=self._asset())
        holder.add(service)
        # DEBUG would have the URL and the payload in it; the listener keeps only what begins as a reason does.
        with self._reasons.listening() as listener, self._apprise.LogCapture(level=30, fmt="%(message)s") as log:
            # True, False, None (nobody was told), or from 2.2 an AppriseResult: only bool() is right for all.
            result = holder.notify(body=form.body or form.title, title=form.title, notify_type=kind,
                                   body_format=formats.get(form.format or ""))
            said = " ".join((log.getvalue() if log is not None else "").split())
        if bool(result) or self._is_a_yes(service, said):
            return ""
        return self._reasons.sentence(str(getattr(service, "service_name", "")), said, listener.heard)

    def _describe(self, service: Any) -> Any:
        """What this Apprise says of the service, for :mod:`certbot_guard.render`; 1.2.0 to 2.3 name it alike."""
        resolve = getattr(service, "resolve_format", None)  # from 2.x a service may have several formats
        shown = resolve(None) if resolve else service.notify_format
        return self._render.Service(
            type(service).__name__, str(getattr(shown, "value", shown)).lower(), service.body_maxlen,
            service.title_maxlen, service.body_max_line_count,
            joins=service.title_maxlen <= 0 or bool(getattr(service, "overflow_amalgamate_title", False)),
            splits=service.overflow_mode == self._apprise.OverflowMode.SPLIT,
            escapes=hasattr(self._apprise.conversion, "text_to_markdown"),
            blocks=bool(getattr(service, "use_blocks", False)))

    def _is_a_yes(self, service: Any, said: str) -> bool:
        # Apprise 1.2.0 compares a webhook's b'ok' with 'ok': delivered, and reported as failed for ever (fixed in
        # 1.2.1). A bot's refusal reads the same, "error=200.", and is one: Slack says why in the body.
        return (self._apprise.__version__ == "1.2.0" and type(service).__name__ == "NotifySlack"
                and service.mode != "bot" and said.endswith("error=200."))


def refusal(url: str) -> str:
    """Why Apprise would not accept this URL, without quoting it; empty if it does. For who checks settings."""
    from difflib import get_close_matches

    import apprise

    schema = url.partition("://")[0].lower()
    known = sorted({name for service in apprise.Apprise().details()["schemas"]
                    for kind in ("protocols", "secure_protocols") for name in (service.get(kind) or ())})
    if schema not in known:
        near = get_close_matches(schema, known, n=1)
        return f"Apprise knows no service '{text.line(schema, 20)}://'" + (
            f"; did you mean '{near[0]}://'?" if near else "")
    with apprise.LogCapture(level=30, fmt="%(message)s") as log:
        if len(list(_Services().of({"url": url}))):
            return ""
        said = log.getvalue() if log is not None else ""
    return "Apprise does not accept this URL" + (
        f": {text.line(redact.strike_out(said, [url]), _REASON_LIMIT)}" if said.strip() else "")


def to_syslog(message: dict[str, Any]) -> None:
    """The message in the system log, a line each, at its severity's priority."""
    import syslog

    priority = {"critical": syslog.LOG_CRIT, "warning": syslog.LOG_WARNING}.get(message["severity"], syslog.LOG_NOTICE)
    syslog.openlog("certbot-guard", syslog.LOG_PID, syslog.LOG_DAEMON)
    for row in [*[message["title"], *message["body"].split("\n")][:_SYSLOG_LINES], _NOBODY_TOLD]:
        if row.strip():
            syslog.syslog(priority, row[:900])
