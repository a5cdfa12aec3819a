"""The options of guard.ini: their values, and that the documentation says what the code does."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from certbot_guard import options
from certbot_guard.config import Channel, ServerConfig

SETTINGS = Path(__file__).parents[2] / "docs" / "settings.md"


@pytest.mark.parametrize("text, seconds", [
    ("0", 0), ("90", 90), ("1.5", 1.5), ("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400), ("1h30m", 5400),
    ("1h 30m", 5400), ("1m1m", 120),
])
def test_a_duration_is_in_seconds(text, seconds):
    assert options.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "0", "0m", "-1", "1.5m", "5 minutes", "1e3", "inf", "nan", "0x10", "٣m",
                                  "²", "5M", "9" * 10, "9" * 5000, "9" * 400 + "h"])
def test_what_is_no_positive_duration_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="such as 5m"):
        options.positive_duration(text)


@pytest.mark.parametrize("text", [
    "auto", "command", "apachectl", "apache2ctl", "/usr/sbin/apachectl", "/opt/my apache/bin/apachectl",
    "systemd:apache2", "systemd:apache2@blue.service", "systemd: httpd.service", "systemd:a\\x2db.service", "my-nginx",
])
def test_control_takes_names_paths_and_units(text):
    assert options.control(text) == text


@pytest.mark.parametrize("text", ["", "-k", "systemd:", "systemd: ", "bin/apachectl", "a b", "slack://a/b", "/a?b",
                                  "a:b"])
def test_control_refuses_what_can_be_none_of_them(text):
    with pytest.raises(ValueError, match="systemd:UNIT"):
        options.control(text)


def test_every_default_is_the_one_of_the_code():
    server, channel = ServerConfig(), Channel("name", "json://localhost")
    renamed = {"max_outage": "max_outage_seconds", "drain": "drain_seconds"}
    for name, option in options.of_section("server").items():
        assert getattr(server, renamed.get(name, name)) == option.default
    assert len(options.of_section("server")) == len(fields(ServerConfig))
    for name, option in options.of_section("channel").items():
        assert getattr(channel, name) == option.default


@pytest.mark.parametrize("option", [one for one in options.OPTIONS if one.default and one.section == "server"],
                         ids=lambda one: one.name)
def test_every_shown_default_means_the_default(option):
    assert option.parse(option.shown_default) == option.default


def test_the_reference_names_every_option():
    text = options.reference()
    for option in options.OPTIONS:
        assert f"| `{option.name}` |" in text
        assert option.help in text
    # A bar in a help text would end its cell.
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 4 for line in text.splitlines() if line.startswith("|"))


def test_the_documentation_has_the_reference():
    assert options.reference() in SETTINGS.read_text(encoding="utf-8")


def test_the_documentation_has_the_options_of_the_command_line():
    text = SETTINGS.read_text(encoding="utf-8")
    for name in ("config", "mode", "max-outage"):
        assert f"`--guard-{name} " in text
        assert f"`guard_{name.replace('-', '_')}`" in text


def test_the_example_of_the_documentation_is_fine(tmp_path):
    from certbot_guard import config

    example = re.search(r"```ini\n(.*?)```", SETTINGS.read_text(encoding="utf-8"), re.DOTALL).group(1)
    ini = tmp_path / "guard.ini"
    ini.write_text(example, encoding="utf-8")
    ini.chmod(0o600)
    found = config.load(ini)
    assert found.problems == ()
    assert {channel.name for channel in found.channels} == {"email", "slack"}
    pytest.importorskip("apprise")
    assert config.check_urls(found) == ()
