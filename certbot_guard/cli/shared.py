"""What several commands need: who may run them, and the state databases they look into."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from certbot_guard.errors import GuardError, StateError

if TYPE_CHECKING:
    from certbot_guard.journal import Journal


def refuse_who_may_not_read(config_path: Path) -> None:
    """Where the state is is said there: without it, "there is nothing" would be a guess.

    :raises GuardError: there is a settings file, and it may not be read.
    """
    try:
        os.close(os.open(config_path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))  # a pipe would keep us waiting
    except PermissionError as error:
        raise GuardError(f"{config_path} cannot be read: Permission denied. Run this as the user that certbot runs "
                         "as, usually root") from error
    except OSError:
        pass  # there is none, and the state is where it is by default; or load() says what is wrong


@contextmanager
def open_journals(bases: list[Path]) -> Iterator[list[Journal]]:
    """The state databases that are there.

    :raises GuardError: one of them cannot be used.
    """
    from certbot_guard import journal as journals

    with ExitStack() as held:
        found = []
        for base in bases:
            try:
                there = (base / journals.FILE).exists()
            except OSError as error:
                raise StateError(f"{base} cannot be looked into: {error.strerror}. Run this as the user that certbot "
                                 "runs as, usually root") from error
            if there:
                found.append(held.enter_context(closing(journals.Journal.open(base))))
                if found[-1].damaged:
                    raise StateError(f"the state database in {base} was damaged; it has been set aside as "
                                     f"{found[-1].damaged}, and what waited in it is lost")
        yield found
