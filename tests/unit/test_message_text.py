"""Text from outside: whatever it holds, what is left of it acts on nothing, and stays readable."""

from __future__ import annotations

import unicodedata
from datetime import datetime, timezone
from typing import Any

import pytest

from certbot_guard import text, troubles
from certbot_guard.account import Account

NASTY = [
    "<script>alert(1)</script>",
    "<!channel> <!here> <@U1> @U1> <https://evil.example|click>",
    "@everyone @here @channel foo@everyone",
    "Rate\r\nBcc: everybody@evil.example\r\n\r\nbody",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x00 \x08 \x7f \x9b",
    "abc\u202egnp.exe\u2066x\u2069 \u200bzero\ufeffwidth \U000e0041tag",
    "line\u2028separator\u2029paragraph\x85next\x0bvertical\x0cfeed",
    "half \ud800 pair \ue000 private",
    "&lt;script&gt; &#60;b&#62;",
    "[click](http://evil.example) ![pixel](http://evil.example/p.png)",
    "```code``` `x`",
    "$(reboot) `reboot` ; reboot | sh",
    "x" * 100_000,
    "\n" * 5000 + "end",
    "\u0000" * 10_000,
    "",
]


def acts_on_nothing(one: str) -> bool:
    return not (set(one) & set("<>&@`")) and "](" not in one and not any(
        unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for letter in one.replace("\n", ""))


@pytest.mark.parametrize("value", NASTY, ids=range(len(NASTY)))
def test_a_line_is_one_line_that_acts_on_nothing(value: str) -> None:
    found = text.line(value, 300)
    assert acts_on_nothing(found) and "\n" not in found and len(found) <= 300


@pytest.mark.parametrize("value", NASTY, ids=range(len(NASTY)))
def test_lines_act_on_nothing_and_are_bounded(value: str) -> None:
    found = text.lines(value, 1000, 10)
    assert all(acts_on_nothing(one) and "\n" not in one for one in found)
    assert len(found) <= 10 and len("\n".join(found)) <= 1100


@pytest.mark.parametrize("value", NASTY, ids=range(len(NASTY)))
def test_doing_it_twice_changes_nothing_more(value: str) -> None:
    once = text.harmless(value)
    assert text.harmless(once) == once
    once.encode("utf-8")


def test_a_replacement_cannot_make_new_markup() -> None:
    # A character that is dropped must not bring its neighbours together to something.
    assert "](" not in text.line("]\u200b(http://evil.example)")


def test_urls_and_other_alphabets_stay_readable() -> None:
    assert text.line("see https://letsencrypt.org/docs/rate-limits/#x?a=1") == (
        "see https://letsencrypt.org/docs/rate-limits/#x?a=1")
    assert text.line("bücher.example 例え.jp пример.рф") == "bücher.example 例え.jp пример.рф"


def test_a_mail_address_is_understood() -> None:
    assert text.line("contact ops@example.com") == "contact ops(at)example.com"


def test_both_ends_are_kept_when_a_text_is_cut() -> None:
    found = text.cut("begin" + "x" * 10_000 + "end", 200)
    assert found.startswith("begin") and found.endswith("end") and "left out" in found and len(found) <= 200


@pytest.mark.parametrize("limit", [0, 1, 5, 60, 200])
def test_a_cut_text_is_never_longer_than_its_limit(limit: int) -> None:
    assert len(text.cut("y" * 5000, limit)) <= max(limit, 1)


def test_a_list_says_how_many_are_not_shown() -> None:
    assert text.listed(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert text.listed(["a", "b"], 2) == "a, b"


@pytest.mark.parametrize("value", [None, 3, ["a"], {"k": "<b>"}])
def test_what_is_no_text_is_shown_all_the_same(value: object) -> None:
    assert acts_on_nothing(text.line(value))


@pytest.mark.parametrize("value", ["INF", float("inf"), 10**400, None, "x", [1]])
def test_a_length_of_time_that_is_none_is_an_unknown_time(value: object) -> None:
    from certbot_guard.phrases import duration

    assert duration(value) == "an unknown time"


@pytest.mark.parametrize("server,word", [(None, "Apache"), ([], "Apache"), (["command"], "Apache"), ("command", "Apache"), (5, "Apache"),
                                         ({"control": "command"}, "the web server"), ({"control": []}, "Apache")])
def test_a_server_of_any_shape_has_a_word(server: Any, word: str) -> None:
    assert troubles.server_word(Account({"id": "x", "server": server}, [], -1, datetime.now(timezone.utc), True, {})) == word
