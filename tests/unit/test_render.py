"""How a message is shown by each service: the same words, within its limits, and nothing a stranger wrote acts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import certbot_guard
from certbot_guard import render, text
from certbot_guard.render import Service, chat, html, layout, short
from tests.support.samples import ALL, DIGEST, DOWN, OUTAGE_OF_THE_CA, Sample

MAIL = Service("NotifyEmail", "html")
SLACK = Service("NotifySlack", "markdown", body_limit=35000)
DISCORD = Service("NotifyDiscord", "text", body_limit=2000, joins=True)
TELEGRAM = Service("NotifyTelegram", "html", body_limit=4096, title_limit=0, joins=True)
TWILIO = Service("NotifyTwilio", body_limit=160, title_limit=0, joins=True)
PAGERDUTY = Service("NotifyPagerDuty", body_limit=1024, title_limit=0, joins=True)
EVERY = {"mail": MAIL, "slack": SLACK, "blocks": Service("NotifySlack", "markdown", body_limit=35000, blocks=True),
         "discord": DISCORD, "telegram": TELEGRAM, "twilio": TWILIO, "pagerduty": PAGERDUTY,
         "rocket.chat": Service("NotifyRocketChat", "markdown", body_limit=1000, title_limit=0, joins=True),
         "mattermost": Service("NotifyMattermost", body_limit=4000, title_limit=0, joins=True),
         "google chat": Service("NotifyGoogleChat", "markdown", body_limit=4000, title_limit=0, joins=True),
         "pushover": Service("NotifyPushover", body_limit=1024), "opsgenie": Service("NotifyOpsgenie", body_limit=15000),
         "ntfy": Service("NotifyNtfy", body_limit=7800, title_limit=200), "json": Service("NotifyJSON"),
         "a pager's 80": Service("NotifyDapnet", body_limit=80, title_limit=0, joins=True),
         "old apprise": Service("NotifyMatrix", "markdown", body_limit=3000, escapes=False)}


def shown(service: Service, sample: Sample) -> render.Form:
    return render.form(service, sample.title, sample.body, sample.severity)


# -- reading the master --------------------------------------------------------------------------------------------


def test_the_master_is_read_as_its_conventions_say() -> None:
    found = layout.blocks("Apache serves.\n\nWhy: it is so\n  and more\n  |   raw\nno label here: x\n\n\n"
                          "Details\nlast\n\nvery last")
    assert [[(line.kind, line.label, line.text) for line in block.lines] for block in found] == [
        [("state", "", "Apache serves.")],
        [("label", "Why", "it is so"), ("more", "", "and more"), ("words", "", "  raw"), ("text", "", "no label here: x")],
        [("heading", "", "Details"), ("text", "", "last")], [("text", "", "very last")]]
    assert [block.details for block in found] == [False, False, True, True]
    assert layout.blocks("") == []


@pytest.mark.parametrize("words, expected", [
    ("See https://letsencrypt.org/docs/rate-limits/.", ["https://letsencrypt.org/docs/rate-limits/"]),
    ("(https://certbot.eff.org) and https://letsencrypt.status.io/", [
        "https://certbot.eff.org", "https://letsencrypt.status.io/"]),
    ("https://letsencrypt.org.evil.example/ https://letsencrypt.org@evil.example", []),
    ("https://evil.example/https://letsencrypt.org/ https://letsencrypt.org。evil.example", []),
    ("http://letsencrypt.org/ https://letsencrypt.org:8443/ xhttps://letsencrypt.org/", []),
    ("https://community.letsencrypt.org/t/1", []),
])
def test_only_pages_that_we_name_are_links(words: str, expected: list[str]) -> None:
    pieces = list(layout.links(words))
    assert [piece for piece, is_link in pieces if is_link] == expected
    assert "".join(piece for piece, _ in pieces) == words


def test_every_address_in_our_advice_is_one_to_click_on() -> None:
    package = Path(certbot_guard.__file__).parent / "diagnosis"
    said = {found.rstrip(".") for path in package.glob("*.py") for found in re.findall(
        r"https://(?!\{)[A-Za-z0-9./_#-]+", path.read_text("utf-8"))} if package.is_dir() else set()
    said = {one for one in said if "." in one[8:].partition("/")[0]}
    assert [one for one in said if not any(is_link for _, is_link in layout.links(one))] == []


# -- cutting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [300, 500, 1000, 1500, 1800])
def test_it_is_cut_between_lines_details_first_and_says_where_the_rest_is(limit: int) -> None:
    found = layout.fit(DIGEST.body, limit)
    assert len(found) <= limit
    kept, _, closing = found.rpartition("\n")
    assert closing == "(The rest did not fit here. It is in /var/log/letsencrypt/letsencrypt.log on web1)"
    assert DIGEST.body.startswith(kept.rstrip() + "\n")


def test_what_fits_is_not_cut() -> None:
    assert layout.fit(DOWN.body, len(DOWN.body)) == DOWN.body


def test_a_first_line_that_does_not_fit_keeps_both_of_its_ends() -> None:
    found = layout.fit("Begin " + "x" * 900 + " end", 200)
    assert found.startswith("Begin") and found.endswith("end") and len(found) <= 200


def test_a_heading_is_not_left_with_nothing_below_it() -> None:
    body = "State.\n\nDetails\n" + "x" * 500
    assert "Details" not in layout.fit(body, 120)


# -- mail ----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Every tag, address and text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)
        if tag not in ("br", "meta"):
            self._open.append(tag)
        for name, value in attrs:
            assert name in {"lang", "charset", "name", "content", "style", "class", "href"}, f"{name}={value}"
            if name == "href":
                self.addresses.append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(data)


def test_the_page_has_every_word_of_the_master_in_its_order() -> None:
    for sample in ALL.values():
        joined = "".join(Page(html.render(sample.title, sample.severity, sample.body)).words)
        position = 0
        for word in sample.body.split():
            position = joined.index(word, position) + len(word)


def test_the_page_fetches_nothing_and_leads_only_to_us() -> None:
    source = html.render(DIGEST.title, DIGEST.severity, DIGEST.body)
    page = Page(source)
    assert not {"img", "script", "link", "iframe", "form", "object", "video", "table"} & set(page.tags)
    assert set(page.addresses) == {"https://letsencrypt.org/docs/rate-limits/"}
    assert "url(" not in source and "@import" not in source


@pytest.mark.parametrize("place", ["{}", "S.\n\n{}", "S.\n\nWhy: {}", "S.\n\n  {}", "S.\n\n  | {}", "S.\n\nDetails\n{}"])
def test_markup_is_escaped_wherever_it_stands(place: str) -> None:
    for service in (MAIL, TELEGRAM):
        page = render.form(service, "<i>t</i>", place.format('<script src="x">alert(1)</script>&lt;'), "warning").body
        assert '&lt;script src=' in page and "&amp;lt;" in page and not {"script", "i"} & set(Page(page).tags)


def test_no_white_space_in_the_page_s_source_becomes_an_empty_line_in_its_text_part() -> None:
    for sample in ALL.values():
        page = html.render(sample.title, sample.severity, sample.body)
        assert "\n" not in page and not re.search(r">\s+<", page)


def test_severity_is_a_word_and_a_colour() -> None:
    pages = {sample.severity: html.render(sample.title, sample.severity, sample.body) for sample in ALL.values()}
    for severity, word in (("critical", "CRITICAL"), ("warning", "WARNING"), ("info", "OK")):
        assert f">{word}</ul>" in pages[severity]
    bars = {re.search(r"border-top:6px solid (#\w+)", page)[1] for page in pages.values()}  # type: ignore[index]
    assert len(bars) == 3


def test_the_text_part_that_apprise_makes_of_it_reads_like_the_master() -> None:
    from apprise.common import NotifyFormat
    from apprise.conversion import convert_between

    def lines(one: str) -> list[str]:
        return [" ".join(line.split()) for line in one.strip().split("\n")]

    for sample in ALL.values():
        page = html.render(sample.title, sample.severity, sample.body)
        assert lines(convert_between(NotifyFormat.HTML, NotifyFormat.TEXT, page)) == lines(sample.body)


def test_a_user_who_wants_text_gets_the_master() -> None:
    assert shown(Service("NotifyEmail", "text"), DOWN) == render.Form(DOWN.title, DOWN.body, "text")


def test_a_mail_of_the_longest_body_is_still_whole_html() -> None:
    words = "\n".join("  | " + "' " * 60 for _ in range(300))
    found = render.form(MAIL, "t", f"State.\n\n{words}\n\nLog: /x", "warning")
    assert len(found.body) <= 32768 and found.body.endswith("</html>") and "The rest did not fit" in found.body
    Page(found.body)


# -- chats ---------------------------------------------------------------------------------------------------------


def test_slack_gets_bold_labels_code_and_an_address_to_click_on() -> None:
    found = shown(SLACK, OUTAGE_OF_THE_CA)
    assert found.format is None and found.title == OUTAGE_OF_THE_CA.title
    assert found.body.startswith("*Apache serves. It was not stopped in this run.*\n\n*Not renewed:* example.com (")
    assert "*What to do:* Nothing now: " in found.body and " https://letsencrypt.status.io/\n" in found.body
    assert re.search(r"```\n2026-11-24 [^`]*\n```$", found.body)


def test_a_name_with_markup_in_it_is_shown_whole_as_code() -> None:
    for dialect in (chat.SLACK, chat.DISCORD):
        found = chat.render("S.\n\nWhy: _acme-challenge.a.example, *.b.example (my_old_host) x:smile:y ~x~ ok_", dialect)
        assert "`_acme-challenge.a.example`, `*.b.example` (`my_old_host`) `x:smile:y` `~x~` `ok_`" in found


def test_a_stranger_s_address_is_nothing_to_click_on() -> None:
    body = "S.\n\nWhy: see https://evil.example/x and (http://evil.example)."
    assert "see `https://evil.example/x` and (`http://evil.example`)." in chat.render(body, chat.SLACK)
    assert "<code>https://evil.example/x</code>" in chat.render(body, chat.TELEGRAM)


def test_discord_shows_no_preview_of_our_addresses() -> None:
    assert "<https://letsencrypt.status.io/>" in shown(DISCORD, OUTAGE_OF_THE_CA).body


def test_discord_counts_the_title_with_the_body() -> None:
    found = shown(DISCORD, DIGEST._replace(body=DIGEST.body + "\n" + "more of it\n" * 200))
    assert len(found.title) + 2 + len(found.body) <= 2000 and "The rest did not fit" in found.body


def test_telegram_gets_no_more_than_its_own_html() -> None:
    page = Page(shown(TELEGRAM, DOWN).body)
    assert set(page.tags) == {"b", "code"} and page.addresses == []
    assert shown(TELEGRAM, DOWN).title == ""


def test_slack_s_newer_form_has_narrower_limits() -> None:
    found = render.form(EVERY["blocks"], "t" * 190, "S.\n" + "line of it\n" * 500, "warning")
    assert len(found.title) <= 150 and len(found.body) <= 3000


def test_a_fence_is_closed_where_the_text_is_cut() -> None:
    body = "S.\n\nError: x\n" + "\n".join(f"  | line {number}" for number in range(400))
    for limit in range(200, 3000, 97):
        found = render.form(Service("NotifyMattermost", body_limit=limit + 1025), "t", body, "warning").body
        assert found.count("```") % 2 == 0


# -- where there is little room ------------------------------------------------------------------------------------


def test_an_sms_is_the_title_and_whole_sentences_of_the_first_line() -> None:
    assert shown(TWILIO, OUTAGE_OF_THE_CA).body == (
        f"{OUTAGE_OF_THE_CA.title}\nApache serves. It was not stopped in this run.")
    assert short.sms("t" * 140, "Apache serves. It was not stopped.", 160) == "t" * 140 + "\nApache serves."
    assert short.sms("t" * 150, "Apache serves. It was not stopped.", 160) == "t" * 150
    assert len(short.sms("t" * 190, "Apache serves.", 160)) <= 160


def test_a_small_service_with_a_title_of_its_own_is_not_told_twice() -> None:
    service = Service("NotifyStreamlabs", body_limit=255, title_limit=60)
    found = render.form(service, "a title", "Apache serves. More.", "info")
    assert (found.title, found.body) == ("a title", "Apache serves. More.")


@pytest.mark.parametrize("name", ["pagerduty", "pushover", "opsgenie", "rocket.chat"])
def test_a_pager_gets_what_matters_first(name: str) -> None:
    found = shown(EVERY[name], DIGEST).body.replace("*", "")
    assert "Apache serves." in found and found.index("Not renewed:") < found.index("Why:") < found.index("What to do:")
    assert "_intern.example.org" in found and "Details" not in found and "Started:" not in found and len(found) <= 1024


def test_who_asked_for_several_messages_gets_all_of_it() -> None:
    long = DIGEST._replace(body=DIGEST.body + "\nmore" * 3000)
    assert shown(Service("NotifyDiscord", body_limit=2000, splits=True), long).body == long.body


def test_ntfy_s_limit_is_in_bytes() -> None:
    found = render.form(EVERY["ntfy"], "t", "S.\n" + "ä" * 100 + ("\n" + "ö" * 100) * 60, "warning").body
    assert len(found.encode()) <= 4096 and "The rest" in found


def test_an_old_apprise_does_not_escape_markdown_so_we_do() -> None:
    found = render.form(EVERY["old apprise"], "a_b", "S.\n\nWhy: my_old_host *x*", "warning")
    assert found.body.endswith(r"my\_old\_host \*x\*")


# -- anything at all -----------------------------------------------------------------------------------------------

_NASTY = st.one_of(
    st.text(max_size=200),
    st.sampled_from(["<script>alert(1)</script>", "<!channel> <@U1>", "@everyone", "```", "`", "*bold*", "</pre></html>",
                     "[x](http://e.example)", "Details", "  | x", "Why: x", "\r\nBcc: x@y.example", '"><img src=x>',
                     "https://letsencrypt.org@evil.example/", "&lt;b&gt;", "\ud800", "😀" * 500, "x" * 3000,
                     "\x00\x1b[31m", "||spoiler||", "# x", "{{x}}"]))
_BODIES = st.lists(st.tuples(st.sampled_from(["", "  ", "  | ", "Why: ", "What to do: ", "Log: "]), _NASTY), max_size=40).map(
    lambda rows: "\n".join(before + words for before, words in rows))


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(title=_NASTY, body=_BODIES, severity=st.sampled_from(["info", "warning", "critical", "nonsense"]))
def test_whatever_is_in_it_limits_hold_and_nothing_acts(name: str, title: str, body: str, severity: str) -> None:
    service = EVERY[name]
    found = render.form(service, text.line(title, 190), text.harmless(body), severity)
    measure = len if service.body_limit <= 320 else layout.units
    joined = measure(found.title) + (2 if found.title else 0) + measure(found.body) if service.joins else measure(found.body)
    assert joined <= max(service.body_limit, 0)
    if service.title_limit:
        assert len(found.title) <= service.title_limit
    assert "\n" not in found.title and "@" not in found.title + re.sub("@media", "", found.body)
    if found.format == "html":
        page = Page(found.body)
        assert set(page.tags) <= {"html", "head", "meta", "title", "style", "body", "div", "p", "strong", "ul", "a", "pre", "span",
                                  "br"}
        assert all(layout._LINK.fullmatch(one) for one in page.addresses)
    elif service is TELEGRAM:
        assert set(Page(found.body).tags) <= {"b", "code"}
    elif found.format is None:
        assert found.body.count("```") % 2 == 0
        assert not set(re.sub(r"<https://[^<>]*>", "", found.body)) & set("<>&")


@pytest.mark.parametrize("service", [MAIL, SLACK, DISCORD, TELEGRAM], ids=lambda one: one.name)
@settings(max_examples=60, deadline=None)
@given(title=_NASTY, body=_BODIES)
def test_even_text_that_nobody_made_harmless_is_no_markup(service: Service, title: str, body: str) -> None:
    found = render.form(service, " ".join(title.split())[:190], body, "warning")
    if service in (MAIL, TELEGRAM):
        assert not {"script", "img"} & set(Page(found.body.encode("utf-8", "replace").decode()).tags)
    else:
        assert not re.search(r"<[!@#/a-gi-z]|@everyone", found.body)
