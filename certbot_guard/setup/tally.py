"""What came of the steps of setup: done, left out, failed, and what would be done. Words for its end."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Each is a list of short sentences without a full stop, in the order of the steps.

    :ivar done: what was changed on this machine
    :ivar tried: what was tried, and went well, without a change: test messages, the dry run
    :ivar skipped: what a person, or an option, wanted left out
    :ivar failed: what could not be done, each with why
    :ivar would: with --plan, what would be done
    :ivar left: what is a person's to do
    """

    done: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    would: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def summary(self) -> list[str]:
        """Lines for the end of a setup that came to its end."""
        found = []
        for title, items in (("Done:", self.done), ("Tried:", self.tried), ("Would be done:", self.would),
                             ("Left out:", self.skipped),
                             ("Failed:", self.failed), ("Left for you to do:", self.left)):
            found += [title, *(f"  - {item}" for item in items)] if items else []
        if not (self.done or self.would or self.failed):
            found.append("Nothing to change.")
        return found

    def so_far(self, command: str) -> str:
        """The sentences for a setup that was stopped. :param command: what goes on from there"""
        done = f"Done so far: {'; '.join(self.done)}." if self.done else "Nothing was changed."
        return f"{done} To go on from here: {command}"

    def code(self) -> int:
        """0 fine, 1 something failed, 3 something would be changed."""
        return 1 if self.failed else 3 if self.would else 0
