"""What a certbot with nothing due computes, in instructions: part of ``--only idle``, where valgrind is installed.

The same program on the same files takes the same number of them, whatever else the machine does; of time, two runs in
turn differ by more than the two per cent that are promised.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Callable, Mapping, Optional, Sequence

from benchmarks.figures import Table, Verdict

LIMIT = 1.02
_COLLECTED = re.compile(r"Collected\s*:\s*(\d+)")


def possible() -> bool:
    return shutil.which("valgrind") is not None


def instructions(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """How many millions of instructions ``command`` executes."""
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command], cwd="/",
                          env={**environment, "PYTHONHASHSEED": "0"}, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    found = _COLLECTED.search(done.stderr)
    assert done.returncode == 0 and found, done.stdout + done.stderr
    return int(found[1]) / 1e6


@dataclass(frozen=True)
class Counted:
    """Millions of instructions: of lineages that name guard, certbot's own ``null`` installer, or none."""

    lineages: int
    guard: float
    null: float
    none: float

    @property
    def looking_up(self) -> float:
        """The share of it that certbot takes for looking up an installer, whichever that is."""
        return (self.null - self.none) / self.none


def counted(lineages: int, of: Callable[[str], float]) -> Counted:
    return Counted(lineages, of("guard"), of("null"), of("plain"))


def table(found: Sequence[Counted]) -> Table:
    made = Table("`certbot renew` with nothing due: millions of instructions (valgrind)", (
        "lineages", "with certbot-guard", "they name certbot's `null` installer", "ratio to that", "they name none",
        "ratio to that"))
    for one in found:
        beside = [text for other in (one.null, one.none)
                  for text in (f"{other:,.0f}", f"**{one.guard / other:.3f}**")]
        made.rows.append((f"{one.lineages:,}", f"{one.guard:,.0f}", *beside))
    return made


def verdicts(found: Sequence[Counted]) -> list[Verdict]:
    """One for each thing to be beside, where it is worst; and what a further lineage adds."""
    null = max(found, key=lambda one: one.guard / one.null)
    none = max(found, key=lambda one: one.guard / one.none)
    promise = "Nothing due: at most 2 % more instructions than certbot "
    made = [Verdict(promise + "with its own `null` installer, which does nothing",
                    f"at most **{null.guard / null.null:.3f}** of them ({_lineages(null.lineages)})",
                    null.guard / null.null <= LIMIT),
            Verdict(promise + "for lineages that name no installer",
                    f"at most **{none.guard / none.none:.3f}** of them ({_lineages(none.lineages)}); certbot's own "
                    f"looking up of an installer, whichever, is {none.looking_up:.1%}",
                    none.guard / none.none <= LIMIT)]
    share = _further(found)
    if share is not None:
        made.append(Verdict("Nothing due: what the plugin adds for each further lineage",
                            f"{share:+.1%} of what certbot takes for it", share <= LIMIT - 1))
    return made


def _further(found: Sequence[Counted]) -> Optional[float]:
    few, many = found[0], found[-1]
    certbots = many.null - few.null
    return (many.guard - few.guard) / certbots - 1 if certbots > 0 else None


def _lineages(count: int) -> str:
    return f"{count:,} lineage{'s' if count > 1 else ''}"
