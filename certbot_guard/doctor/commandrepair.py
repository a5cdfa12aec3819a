"""Mends a line of shell that starts certbot: the same line without the mistakes, everything else as it was. Pure text.

What it cannot mend for certain it leaves: None. Used by :mod:`certbot_guard.doctor.repair`.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Sequence

from certbot_guard import job as jobs
from certbot_guard import shellgroups, shellwords
from certbot_guard.certbotlines import Start
from certbot_guard.doctor import judging, leftout, lines
from certbot_guard.job import Job

if TYPE_CHECKING:
    from certbot_guard.doctor.mistakes import Context

_RETRY = "--retry-for 6h"
_EDGE = r"(?<![^\s\"'])"
_END = r"(?=[\s\"';|&)]|$)"
_FORCE = re.compile(rf"\s+(?:--force-renewal|--force-renew|--renew-by-default){_END}")
_INSTALLER = re.compile(rf"\s+(?:--installer[= ]\s*|-i\s*)[\"']?guard[\"']?{_END}")
_BOTH_AWAY = re.compile(r"\s*(?:(?:&>>?|>&|[12]?>>?)\s*/dev/null|2>&1)")
_ERRORS_AWAY = re.compile(r"\s*(?:2>>?\s*/dev/null|2>&-)")
_DIRECT = re.compile(r"(?:/\S*/)?(?:apachectl|apache2ctl|httpd|apache2)\s+(?:-k\s*)?(graceful-stop|stop|start|restart)"
                     rf"{_END}")
_HARD_STOP = re.compile(rf"((?:apachectl|apache2ctl|httpd|apache2)\s+(?:-k\s*)?)stop{_END}")
# They write nothing where all is well.
_SILENT = frozenset({"cd", "set", "exit", "test", "["})
_ALL_AWAY = frozenset({(">/dev/null", "2>&1"), ("1>/dev/null", "2>&1"), ("&>/dev/null",), ("2>/dev/null",),
                       (">/dev/null", "2>/dev/null")})
_ERRORS_COUNT = re.compile(r"\b(?:set|errexit)\b|sh\s+-\w*e")
_PLAIN_REDIRECT = re.compile(r"[\w/.,:=@+&<>|-]+", re.ASCII)


def mend(command: str, job: Job, context: Context, to_guard: bool = False, depth: int = 0) -> Optional[str]:
    """The command without its mistakes.

    :param to_guard: put ``certbot-guard run --`` before certbot in any case
    """
    steps = lines.steps(command)
    if steps is None:
        made = _within(command, job, context, to_guard, depth)
        return made if made is not None else _by_pattern(command) if depth == 0 else None
    inside = lines.inner(steps)
    if inside is not None and not steps[0].verb:
        if depth > 2:
            return None
        redirects = steps[0].simple.redirects
        within: Optional[str] = inside
        if lines.thrown_away(redirects) and not _told_inside(inside):
            within, redirects = _thrown_into(inside, redirects), ()
        mended = None if within is None else mend(within, job, context, to_guard, depth + 1)
        return None if mended is None else _in_shell(steps[0], inside, mended, redirects)
    where = lines.around(steps)
    dropped = leftout.dropped_of(steps)
    if where is None:
        return _joined(command, steps, dropped, job, context, to_guard, None)
    stop, certbot, start = where
    if steps[stop].server == "apache":
        return _joined(command, steps, dropped, job, context, True, None)
    texts = [command[steps[number].simple.start:steps[number].simple.end]
             for number in (stop, start) if number is not None]
    own = steps[certbot].starts[0]
    if any("$" in one or "`" in one for one in texts) or own.has("--pre-hook", "--post-hook"):
        return None
    hooks = (texts[0], texts[1] if len(texts) > 1 else re.sub(rf"\bstop{_END}", "start", texts[0]))
    return _joined(command, steps, dropped, job, context, to_guard, hooks)


def guard_program(certbot: Optional[Path], context: Context) -> Path:
    """certbot-guard beside the certbot that is used, of the Python this runs in, or where a program is looked for."""
    for place in (certbot, certbot.resolve() if certbot else None):
        if place is not None and (place.parent / "certbot-guard").exists():
            return place.parent / "certbot-guard"
    own = context.python / "certbot-guard"
    return own if own.exists() else context.find_program("certbot-guard") or own


def mend_hook(hook: str, context: Context) -> str:
    """A hook that stops Apache so that the start waits for it; the same hook where it is fine."""
    if judging.hook_trouble(hook, context) is None:
        return hook
    if context.systemd:
        return _DIRECT.sub(lambda match: f"systemctl {match[1].replace('graceful-', '')} {context.apache_unit()}", hook)
    return _HARD_STOP.sub(r"\1graceful-stop", hook)


def _told_inside(inside: str) -> bool:
    read = lines.read(inside).steps
    return any(step.starts and lines.tells(read, number) for number, step in enumerate(read))


def _thrown_into(inside: str, redirects: tuple[str, ...]) -> Optional[str]:
    """What a whole list of commands throws away becomes certbot's own, from where it can be taken.

    None where that takes more than certbot's errors from it: a log, a lock, what others write.
    """
    steps = lines.steps(inside)
    certbots = [step for step in steps or () if step.starts]
    if steps is None or redirects not in _ALL_AWAY or len(certbots) != 1:
        return None
    dropped = leftout.dropped_of(steps)
    for number, step in enumerate(steps):
        silent = leftout.is_nothing(step) or step.simple.words[:1] in {(word,) for word in _SILENT}
        if not step.starts and number not in dropped and not silent:
            return None
    at = certbots[0].simple.end
    return inside[:at] + " " + " ".join(redirects) + inside[at:]


def _within(command: str, job: Job, context: Context, to_guard: bool, depth: int) -> Optional[str]:
    """A command with groups, of which one list of simple commands has all that is to be mended; else None."""
    nodes = shellgroups.parse(command)
    steps = lines.steps_in(nodes or ())
    ours = [number for number, step in enumerate(steps) if step.starts or step.verb in leftout.STOPS_OR_STARTS]
    certbots = [number for number in ours if steps[number].starts]
    if depth > 2 or nodes is None or len(certbots) != 1:
        return None
    around = shellgroups.shared([leaf.within for leaf in (steps[number].leaf for number in ours) if leaf is not None])
    commands = around[-1][0].parts[around[-1][1]] if around else nodes
    if commands[-1].then == "&":
        return None
    first, last = commands[0].start, commands[-1].end
    inside, rest = command[first:last], command[last:]
    plain = lines.steps(inside)
    away = [group for group, _ in around if lines.thrown_away(group.redirects)]
    if plain is None or len(away) > 1:
        return None
    if leftout.ends_otherwise(inside) and leftout.end_counts(nodes, around, command):
        return None
    if away and not lines.tells(steps, certbots[0]):
        others = [step for step in steps if step.leaf is not None and not first <= step.simple.start < last
                  and any(group is away[0] for group, _ in step.leaf.within)]
        thrown = _thrown_into(inside, away[0].redirects)
        if thrown is None or not all(leftout.is_nothing(one) or one.simple.words[:1] in {(word,) for word in _SILENT}
                                     for one in others):
            return None
        inside, rest = thrown, command[last:away[0].close] + command[away[0].end:]
    mended = mend(inside, job, context, to_guard, depth + 1)
    return shellgroups.peeled(command[:first] + mended + rest) if mended else None


def _by_pattern(command: str) -> Optional[str]:
    """Of a command that is more than simple: only the option is taken out, which is the same everywhere."""
    return _FORCE.sub("", command)


def _in_shell(outer: lines.Step, inside: str, mended: str, redirects: tuple[str, ...]) -> Optional[str]:
    words = outer.simple.words
    at = words.index(inside)
    if words[:-1] in (("sh", "-c"), ("/bin/sh", "-c")) and at == 2 and not outer.simple.settings and not redirects:
        return mended
    if any("$" in word or "`" in word for word in (*words[:at], *words[at + 1:], *outer.simple.settings)):
        return None
    if not all(_PLAIN_REDIRECT.fullmatch(one) for one in redirects):
        return None
    settings = [f"{name}={shlex.quote(value)}"
                for name, _, value in (one.partition("=") for one in outer.simple.settings)]
    return " ".join([*settings, *map(shlex.quote, [*words[:at], mended, *words[at + 1:]]), *redirects])


def _joined(command: str, steps: Sequence[lines.Step], dropped: set[int], job: Job, context: Context, to_guard: bool,
            hooks: Optional[tuple[str, str]]) -> Optional[str]:
    """The commands that are left, run under the same conditions as before, whatever the others come to.

    What is left out is taken to succeed. None where more hangs on it than that.
    """
    kept: list[str] = []
    # before each that is kept, and behind the last: the text, and the operator in it
    gaps = [(command[:steps[0].simple.start] if steps else command, "")]
    for number, step in enumerate(steps):
        one, later = step.simple, steps[number + 1:]
        behind = command[one.end:later[0].simple.start if later else len(command)], one.then
        raw: Optional[str] = command[one.start:one.end]
        if number in dropped and step.verb and (one.words[:1] == ("exec",) or (
                step.server == "apache" and shellwords.hook_verb(raw or "") is None)):
            return None  # it stops a second server, too, or ends the shell
        if number in dropped and not (gaps[-1][1] == "||" and step.verb in ("start", "restart")):
            pointless = bool(later) and number + 1 in dropped and leftout.is_nothing(later[0])
            gap = leftout.without(step, gaps[-1], behind, bool(later), pointless,
                           bool(job.body) or _ERRORS_COUNT.search(job.whole) is not None)
            asked = later and number + 1 not in dropped and leftout.OF_BEFORE.search(
                command[later[0].simple.start:later[0].simple.end])
            if gap is None or asked or (one.then == "&" and "$!" in command):
                return None
            gaps[-1] = gap
            continue
        if number in dropped:
            raw = "true"  # in the place of `certbot || start`
        elif step.starts:
            raw = _certbot(_whole_path(raw or "", step, job, context), step, lines.tells(steps, number), job, context,
                           to_guard, hooks)
            if raw is None:
                return None
        elif raw:
            raw = _whole_path(raw, step, job, context)
        kept.append(raw or "")
        gaps.append(behind)
    return "".join(gap + raw for (gap, _), raw in zip(gaps, [*kept, ""]))


def _whole_path(raw: str, step: lines.Step, job: Job, context: Context) -> str:
    words = shellwords.bare(step.simple.words)
    if not words or "/" in words[0] or job.under != "cron" or any(one.program == words[0] for one in step.starts):
        return raw
    if jobs.which(job, words[0]) is not None:
        return raw
    elsewhere = context.find_program(words[0])
    return re.sub(rf"{_EDGE}{re.escape(words[0])}{_END}", lambda _: str(elsewhere), raw, count=1) if elsewhere else raw


def _certbot(raw: str, step: lines.Step, tells: bool, job: Job, context: Context, to_guard: bool,
             hooks: Optional[tuple[str, str]]) -> Optional[str]:
    """One command that starts certbot."""
    start = step.starts[0]
    if len(step.starts) != 1:
        return None
    if start.forces:
        # certonly and run would ask what to do about a certificate that is not due.
        raw = _FORCE.sub("" if start.verb == "renew" else " --keep-until-expiring", raw, count=1)
        raw = _FORCE.sub("", raw)
    quiet = False
    if lines.thrown_away(step.simple.redirects) and not tells:
        both = any(re.fullmatch(r"(?:1?>>?|&>>?|>&)/dev/null", one) for one in step.simple.redirects)
        taken = _BOTH_AWAY if both else _ERRORS_AWAY
        if len(taken.findall(raw)) > sum(taken.fullmatch(one) is not None for one in step.simple.redirects):
            return None  # one is in quotes
        words, own = step.simple.words, len(step.simple.words) - len(start.words)
        if words[own:] != start.words and len(lines.steps(shellwords.inner_shell(words) or "") or ()) != 1:
            return None  # others are in there, whose output it is, too
        raw, quiet = taken.sub("", raw), both
    if start.verb == "renew" and start.value("--installer", "-i") == "guard" and context.others():
        raw = _INSTALLER.sub("", raw)
    for option in ("--pre-hook", "--post-hook", "--deploy-hook", "--renew-hook"):
        hook = start.value(option)
        if hook and any(judging.hook_trouble(start.value(one) or "", context) for one in ("--pre-hook", "--post-hook")):
            mended = mend_hook(hook, context) if judging.hook_trouble(hook, context) else _paired(hook, context)
            if mended != hook and hook not in raw:
                return None
            raw = raw.replace(hook, mended)
    return _started(raw, start, job, context, to_guard and not start.guarded, quiet, hooks)


def _paired(hook: str, context: Context) -> str:
    """The start that belongs to a stop that has been mended: both by the same hand."""
    return _DIRECT.sub(lambda match: f"systemctl {match[1]} {context.apache_unit()}", hook) if context.systemd else hook


def _started(raw: str, start: Start, job: Job, context: Context, to_guard: bool, quiet: bool,
             hooks: Optional[tuple[str, str]]) -> Optional[str]:
    if not start.program:
        return None if to_guard or hooks else _quietly(raw, start, quiet, "")
    match = re.search(rf"{_EDGE}{re.escape(start.program)}{_END}", raw)
    if not match:
        return None
    gone = start.program.endswith("-auto")
    known = None if gone else jobs.which(job, start.program)
    elsewhere = None if known else context.find_program("certbot" if gone else start.program.rsplit("/", 1)[-1])
    if gone and elsewhere is None:
        return None
    if to_guard and context.certbot is not None:
        # certbot-guard run in front of a certbot without the plugin would guard nothing
        used = known or elsewhere
        known = context.certbot if used is None or os.path.realpath(used) in context.blind else known
    program = str(known or elsewhere or start.program) if to_guard else (
        start.program if known or not elsewhere or ("/" in start.program and not gone) else str(elsewhere))
    options = ""
    if to_guard:
        program = f"{shlex.quote(str(guard_program(known or elsewhere, context)))} run {_RETRY} -- {program}"
        if start.verb == "renew" and context.unguarded() and not context.others():
            options += "" if start.has("--installer", "-i") else " --installer guard"
    if hooks:
        options += f" --pre-hook {shlex.quote(hooks[0])}"
        options += "" if start.has("--post-hook") else f" --post-hook {shlex.quote(hooks[1])}"
    before, after = raw[:match.start()] + program, raw[match.end():]
    return _quietly(before + after, start, quiet or to_guard, options, len(before))


def _quietly(raw: str, start: Start, quiet: bool, options: str, at: int = 0) -> str:
    """With what is added right behind certbot's subcommand."""
    options = (" --quiet" if quiet and not start.has("-q", "--quiet") and not any(
        re.fullmatch("-[a-z]*q[a-z]*", word) for word in start.words) else "") + options
    verb = re.search(rf"{_EDGE}{re.escape(start.verb)}{_END}", raw[at:]) if start.verb and not start.program.endswith(
        ".renew") else None
    end = at + verb.end() if verb else at or len(raw)
    return raw[:end] + options + raw[end:]
