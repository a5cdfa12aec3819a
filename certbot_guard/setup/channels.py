"""Channels, from a person's plain answers or from the command line: names with their Apprise URLs.

Every URL that leaves this module is one that Apprise takes, under a name that guard.ini can have. None is ever shown,
and a sentence about one holds no part of it.
"""

from __future__ import annotations

import shlex
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Callable, Optional

from certbot_guard import trust
from certbot_guard.config import APPRISE_CONFIG
from certbot_guard.errors import GuardError
from certbot_guard.inifile import is_url, safe
from certbot_guard.setup.asking import Asker

if TYPE_CHECKING:
    from certbot_guard.services import Question, Service

FORM = ("write --channel NAME=@FILE, with the Apprise URL alone in FILE, or --channel NAME=- with the URL on standard "
        "input; a URL is a secret, and every user of this machine can see a program's arguments")
_READABLE_BY_OTHERS = 0o044
_URL = "url"
_NONE = "-"


@dataclass
class Made:
    """A channel as it was made. ``service`` is None where a person typed the URL itself."""

    name: str
    url: str = field(repr=False)
    service: Optional[Service] = None
    answers: dict[str, str] = field(default_factory=dict, repr=False)


# -- from the command line -------------------------------------------------------------------------------------------


def from_options(given: Sequence[str], standard_input: Callable[[], str],
                 warn: Callable[[str], object]) -> dict[str, str]:
    """The channels of ``--channel NAME=@FILE`` and ``NAME=-``.

    :raises ValueError: one of them cannot be used; the sentence holds nothing of what was given instead.
    """
    found: dict[str, str] = {}
    for one in given:
        name, equals, source = one.partition("=")
        if not equals or refusal_of_name(name) or not (source == "-" or source[:1] == "@" and source[1:]):
            raise ValueError(FORM)
        if name in found:
            raise ValueError(f"the channel '{name}' is there twice; name one of them differently")
        if source == "-" and "-" in [other.partition("=")[2] for other in given if other is not one]:
            raise ValueError("only one URL can come from standard input; put the others into files")
        found[name] = _only_line(name, standard_input() if source == "-" else _read(name, Path(source[1:]), warn))
    return found


def _read(name: str, path: Path, warn: Callable[[str], object]) -> str:
    try:
        data, mode = trust.read_trusted(path)
        content = data.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ValueError(f"the channel '{name}': {trust.shown(path)} does not exist") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"the channel '{name}': {trust.shown(path)} is not UTF-8; save it as UTF-8") from error
    except (OSError, GuardError) as error:
        raise ValueError(f"the channel '{name}': {error}") from error
    if mode & _READABLE_BY_OTHERS:
        warn(f"{trust.shown(path)} holds a secret and can be read by others; run: chmod 600 "
             f"{shlex.quote(trust.shown(path))}")
    return content


def _only_line(name: str, content: str) -> str:
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    if len(lines) != 1:
        raise ValueError(f"the channel '{name}': there should be one line with an Apprise URL, and nothing else; "
                         f"there {'are several' if lines else 'is none'}")
    return lines[0]


def refusal_of_name(name: str) -> str:
    """Why guard.ini cannot have a channel of this name; empty if it can."""
    if not name or safe(name) != name or name != name.strip():
        return "write a name of letters, digits, - and _, such as mail"
    if name.startswith("[") or name == APPRISE_CONFIG:
        return f"'{name}' means something else in guard.ini; write another name"
    return ""


# -- from a person ---------------------------------------------------------------------------------------------------


def ask(asker: Asker, known: Container[str], refusal: Callable[[str], str], shows: bool = True) -> Optional[Made]:
    """One channel, as a person describes it; None: no further one.

    :param known: the names that are taken
    :param shows: the list of services is shown first
    :param refusal: why Apprise would not take a URL
    """
    from certbot_guard import services

    titles = {**{one.name: one.title for one in services.SERVICES}, _URL: "an Apprise URL that you have"}
    numbered = list(titles)
    while True:
        if shows:
            asker.say("\n".join(f"  {number:2} {name:<12} {titles[name]}" for number, name in enumerate(numbered, 1)))
        given = asker.text("Number or name of the channel to add, ? for the list, or nothing for no more").lower()
        if not given:
            return None
        shows = given == "?"
        chosen = numbered[int(given) - 1] if given.isdecimal() and 0 < int(given[:9]) <= len(numbered) else given
        if chosen in numbered:
            break
        if not shows:
            asker.say(f"There is none of that name or number; write a number from 1 to {len(numbered)}, or nothing.")
    service = services.by_name(chosen) if chosen != _URL else None
    name = _ask_name(asker, _free(chosen if service else "channel", known), known)
    return ask_again(asker, Made(name, "", service), refusal)


def ask_again(asker: Asker, before: Made, refusal: Callable[[str], str]) -> Optional[Made]:
    """The same channel with other answers; those of before that are no secret are offered. None: it was given up."""
    from certbot_guard.services import AnswerError

    answers = dict(before.answers)
    if before.service is not None and before.service.help:
        asker.say(fill(before.service.help, 100))
    while True:
        url, problem = "", ""
        if before.service is None:
            url = asker.secret("Apprise URL").strip()
        else:
            for question in before.service.questions:
                before_it = answers.pop(question.key, "")
                if question.applies(answers):
                    answers[question.key] = _answer(asker, question, before_it)
            try:
                url = before.service.url(answers)
            except AnswerError as error:
                problem = f"write {error}"
        problem = problem or refusal_of_url(url, refusal)
        if not problem:
            return Made(before.name, url, before.service, answers)
        asker.say(f"That cannot be used: {problem}")
        if not asker.yes("answers", "Answer again?"):
            return None


def refusal_of_url(url: str, refusal: Callable[[str], str]) -> str:
    """Why this URL cannot be used, without any part of it; empty if it can."""
    try:
        url.encode("utf-8")
    except UnicodeEncodeError:
        return "it has characters that are not UTF-8"
    if not url:
        return "nothing was given"
    return refusal(url) or ("" if is_url(url) else "it is not an Apprise URL, such as schema://...")


def _answer(asker: Asker, question: Question, before: str) -> str:
    from certbot_guard.services import AnswerError

    while True:
        if question.secret:
            given = asker.secret(question.words)
        elif question.choices:
            given = asker.choose(question.words.partition(":")[0], question.choices, before or question.default)
        elif question.optional and before:  # Enter alone means the answer of before
            given = asker.text(f"{question.words}; {_NONE} for none", before)
            given = "" if given == _NONE else given
        else:
            given = asker.text(question.words, before or question.default)
        try:
            return question.cleaned(given)
        except AnswerError as error:
            asker.say(f"Write {error}.")


def _ask_name(asker: Asker, default: str, known: Container[str]) -> str:
    while True:
        name = asker.text("Its name in guard.ini", default)
        problem = refusal_of_name(name)
        if problem:
            asker.say(f"This name cannot be used: {problem}")
        elif name not in known or asker.yes("replace", f"There is a channel '{name}'. Replace it?", False):
            return name


def _free(name: str, known: Container[str]) -> str:
    number = 2
    found = name
    while found in known:
        found, number = f"{name}{number}", number + 1
    return found
