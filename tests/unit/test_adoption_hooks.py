"""What adopt says of hooks that stop or start the web server within brackets: retired whole, or left and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from certbot_guard import adoption_hooks


def test_hooks_in_brackets_are_retired_whole_or_left() -> None:
    both = {"pre_hook": "{ apachectl stop; } >/dev/null 2>&1", "post_hook": "( apachectl start || true )"}
    assert adoption_hooks.judge(both, False) == (tuple(both.items()), [])
    more = {**both, "post_hook": "( apachectl start; /srv/tell )"}
    retired, (said,) = adoption_hooks.judge(more, False)
    assert retired == () and "post_hook does not just start it again" in said
    unread = {**both, "pre_hook": "{ apachectl stop; "}
    retired, (said,) = adoption_hooks.judge(unread, False)
    assert retired == () and said.startswith("post_hook (( apachectl start || true )) is left: another hook may stop")


@pytest.mark.parametrize(("script", "line", "around"), [
    ("apachectl stop", 2, False), ("{\n  apachectl stop\n} >/dev/null", 3, True), ("( apachectl stop )", 2, False),
    ("if [ -x /x ]; then\n  apachectl stop\nfi", 3, True), ("for a in b; do\n(\napachectl stop\n)\ndone", 4, True),
    ("{ true\n}\napachectl stop", 4, False), ("if [ -d /x ]; then\n  ( apachectl stop )\nfi", 3, True),
    ("diff <(a) <(b)\nif true; then\napachectl stop\nfi", 4, True),
    ("if true; then\n" + "# x\n" * 9000 + "apachectl stop\nfi", 9003, True),
])
def test_who_takes_a_line_out_of_brackets_is_told_of_them(tmp_path: Path, script: str, line: int, around: bool) -> None:
    hook = tmp_path / "renewal-hooks/pre/stop"
    hook.parent.mkdir(parents=True)
    hook.write_text(f"#!/bin/sh\n{script}\n")
    hook.chmod(0o755)
    said = [one for one in adoption_hooks.elsewhere(tmp_path)[0] if str(hook) in one]
    assert len(said) == 1 and f"{hook}, line {line}: this hook stops the web server" in said[0]
    assert said[0].endswith("where nothing else is left in there" if around else "take that line out")
