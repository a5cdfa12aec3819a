"""What a service is: the questions it needs answered, and the Apprise URL that the answers make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Callable

from certbot_guard.services.answers import Check


class AnswerError(ValueError):
    """An answer cannot be used. Its text completes "write ...", and quotes nothing of the answer.

    :ivar key: the question's
    """

    def __init__(self, key: str, instead: str) -> None:
        super().__init__(instead)
        self.key = key


def _always(answers: Mapping[str, str]) -> bool:
    return True


@dataclass(frozen=True)
class Question:
    """One thing to ask.

    :ivar check: returns the tidied answer, or raises a ValueError whose text completes "write ..."
    :ivar secret: what is typed must not be seen
    :ivar default: what an empty answer means
    :ivar optional: an empty answer is one; it is not checked
    :ivar choices: the answers there are, where they are few
    :ivar applies: whether it is to be asked after these answers; if not, an answer from before does not count
    """

    key: str
    words: str
    check: Check
    secret: bool = False
    default: str = ""
    optional: bool = False
    choices: tuple[str, ...] = ()
    applies: Callable[[Mapping[str, str]], bool] = _always

    def cleaned(self, answer: str) -> str:
        """The answer as :meth:`Service.url` uses it. :raises AnswerError: it is not usable."""
        if not answer.strip() and (self.optional or self.default):
            return self.default
        try:
            return self.check(answer)
        except ValueError as error:
            raise AnswerError(self.key, str(error)) from error


@dataclass(frozen=True)
class Service:
    """One service. ``help``: where to get what is asked for, in a sentence or two."""

    name: str
    title: str
    help: str
    questions: tuple[Question, ...]
    build: Callable[[Mapping[str, str]], str]

    def url(self, answers: Mapping[str, str]) -> str:
        """The Apprise URL. Answers need not be tidied; what is missing, or does not apply, counts as empty.

        :raises AnswerError: an answer is missing, not usable, or does not go with another.
        """
        found: dict[str, str] = {}
        for one in self.questions:
            found[one.key] = one.cleaned(answers.get(one.key, "")) if one.applies(found) else ""
        return self.build(found)
