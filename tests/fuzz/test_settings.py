"""guard.ini, whatever stands in it: it is read, what is wrong is named in one harmless sentence, and no secret is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbot_guard import business, config, options, settingsfile
from certbot_guard.errors import GuardError
from certbot_guard.settings import ServerConfig
from tests.fuzz.trying import bounded, is_quiet, many, text_of, witness, words

SECRET = "s3cr3t-0f-the-url"
LINES = ["[server]", "[notify]", "[state]", "[watch]", "[deploy]", "[messages]", "[heartbeat]", "[metrics]", "[certbot]",
         "[channel a]", "[channel]", "[]", "[[server]]", "control = auto", "control = systemd:apache2.service",
         "control = command", "start_command = /bin/true 'x", "listen = 80 443 99999", "mode = proxy", "max_outage = 5m",
         "max_outage = 999999999d", "drain = 1e9", f"a = mailtos://me:{SECRET}@mail.example?to=you@example.com",
         f"b = slack://{SECRET}/B/C/#ops", f"slack://{SECRET}", f"  {SECRET}", f"apprise_config = /{SECRET}\x00",
         "events = failure recovery", "min_severity = critical", "also_reload = postfix", "postfix_command = /bin/true",
         "endpoints = mail.example:25 starttls=smtp [::1]:465", "url = https://hc.example/x", "dir = /var/lib/x",
         "config_dir = /etc/letsencrypt '/a b'", "textfile = /x", "remind_every = 1d", "log_lines = 20",
         "# a comment", "; one more", "=", " = ", "a =", "a", "\ufeff[notify]"]
FILES = st.one_of(st.binary(max_size=200), text_of(LINES).map(lambda text: text.encode("utf-8", "surrogatepass")))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("settings")


@given(FILES)
@many(250)
def test_any_file_is_read_and_what_is_wrong_is_said_in_a_line_each(directory: Path, data: bytes) -> None:
    path = directory / "guard.ini"
    path.write_bytes(data)
    path.chmod(0o600)
    with bounded(), witness.watching(directory):
        found = config.load(path)
    for problem in map(str, found.problems):
        assert is_quiet(problem) and SECRET not in problem and len(problem) < 2000, problem
        assert "certbot-guard's own" not in problem  # what nobody thought of ends in that
    assert len(found.problems) <= 60
    assert ServerConfig.from_json(found.server.to_json()) == found.server
    for channel in found.channels:
        assert is_quiet(channel.name)


@given(text_of(LINES), words, words)
@many(250)
def test_a_channel_is_set_in_any_text_or_it_is_refused(text: str, name: str, more: str) -> None:
    with bounded():
        try:
            made = settingsfile.with_channels(text, {name: f"json://{SECRET}@example.com/{more}"})
            settingsfile.with_channels(made, {"b": "json://example.com/"})
        except GuardError as error:
            assert is_quiet(str(error)) and SECRET not in str(error)


@given(st.sampled_from([option for section in (*config.SECTIONS, "channel")
                        for option in options.of_section(section).values()]), st.one_of(words, st.sampled_from(LINES)))
@many(400)
def test_an_option_takes_any_text_or_says_what_to_write(option: options.Option, text: str) -> None:
    with bounded():
        try:
            option.parse(text)
        except ValueError as error:
            assert is_quiet(str(error)) and SECRET not in str(error)


@given(FILES)
@many(100)
def test_the_quick_look_at_the_end_of_certbot_takes_any_file(directory: Path, data: bytes) -> None:
    path = directory / "quick.ini"
    path.write_bytes(data)
    with bounded(), witness.watching(directory):
        assert business.is_left(["renew", "--guard-config", str(path)]) in (True, False)


@pytest.mark.parametrize("unit", [b"[state]\ndir = /" + b" " * 99, b"[state]\n", b" ", b"\n", b"dir =", b"[", b"[state]\n "])
def test_the_quick_look_takes_no_longer_where_a_line_is_long(unit: bytes, directory: Path) -> None:
    path = directory / "long.ini"
    for data in (b"[state]\ndir = /" + unit * 200_000 + b"x", b"[state]\n" + unit * 200_000):
        path.write_bytes(data[:1_000_000])
        with bounded():
            business.is_left(["renew", "--guard-config", str(path)])


@pytest.mark.parametrize("unit", ["[", "]", " ", "=", "a", "a=", "://", "a://", "\n ", "\r", "[channel a]\n", "a = b\n",
                                  "1h", "systemd:", "/", "'", "\\", "@", "[::", ":1"])
def test_a_long_text_takes_no_longer_than_its_length(unit: str) -> None:
    text = (unit * 100_000)[:100_000]
    with bounded():
        config._config(config.IniFile(Path("/nonexistent/guard.ini"), "[notify]\n" + text))
        config._config(config.IniFile(Path("/nonexistent/guard.ini"), "[server]\ncontrol = " + text))
        config._config(config.IniFile(Path("/nonexistent/guard.ini"), "[watch]\nendpoints = " + text))
        config._config(config.IniFile(Path("/nonexistent/guard.ini"), "[heartbeat]\nurl = " + text))
        config._config(config.IniFile(Path("/nonexistent/guard.ini"), "[deploy]\nx_command = " + text))
