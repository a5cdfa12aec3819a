"""guard.ini: what is wrong costs only itself, is named with its line, and never quotes a secret."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from certbot_guard import config as configuration
from certbot_guard import options
from certbot_guard.config import Channel, ServerConfig
from certbot_guard.errors import GuardError

SECRET = "hunter2Sesame"
EMAIL = f"mailtos://user:{SECRET}@smtp.example.com?to=ops@example.com"
FINE = f"[server]\ncontrol = apachectl\n\n[notify]\nemail = {EMAIL}\n"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")


@pytest.fixture
def ini(tmp_path):
    return tmp_path / "guard.ini"


@pytest.fixture
def load(ini):
    def write_and_load(content, mode=0o600):
        ini.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        ini.chmod(mode)
        return configuration.load(ini)
    return write_and_load


def texts(config):
    return [str(problem) for problem in config.problems]


def only(config):
    assert len(config.problems) == 1, texts(config)
    return str(config.problems[0])


def refused(config, *words):
    """Nothing in the file is used, and one sentence says why; what it holds besides is a remedy."""
    assert not config.server_usable
    assert not config.channels
    assert config.server == ServerConfig()
    text = only(config)
    for word in (str(config.path), *words):
        assert word in text
    return text


# -- the file ------------------------------------------------------------------------------------------------


def test_a_missing_file_gives_the_defaults(ini):
    config = configuration.load(ini)
    assert config.missing
    assert config.server == ServerConfig()
    assert config.server_usable
    assert config.problems == ()


def test_a_missing_directory_gives_the_defaults(tmp_path):
    assert configuration.load(tmp_path / "none" / "guard.ini").missing


def test_a_file_of_mode_0600_is_fine(load):
    config = load(FINE)
    assert config.problems == ()
    assert not config.missing
    assert config.server_usable
    assert config.server.control == "apachectl"
    assert config.channels == (Channel("email", EMAIL),)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_file_others_can_read_is_used_with_a_problem(load, ini, mode):
    config = load(FINE, mode)
    assert f"chmod 600 {ini}" in only(config)
    assert config.server_usable
    assert [channel.name for channel in config.channels] == ["email"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_others_can_write_is_not_trusted(load, ini, mode):
    refused(load(FINE, mode), "can be written by others", f"chmod 600 {ini}")


@needs_root
def test_a_file_of_somebody_else_is_not_trusted(load, ini):
    load(FINE)
    os.chown(ini, 65534, 65534)
    refused(configuration.load(ini), "65534", f"chown root {ini}")


def test_a_file_in_a_directory_others_can_write_is_not_trusted(tmp_path):
    parent = tmp_path / "open"
    parent.mkdir()
    parent.chmod(0o777)
    ini = parent / "guard.ini"
    ini.write_text(FINE)
    ini.chmod(0o600)
    config = configuration.load(ini)
    assert not config.server_usable
    assert not config.channels
    assert f"chmod go-w {parent}" in only(config)


@pytest.mark.parametrize("dangling", [False, True])
def test_a_symbolic_link_is_not_followed(load, ini, tmp_path, dangling):
    if not dangling:
        load(FINE)
        ini.rename(tmp_path / "other.ini")
    ini.symlink_to(tmp_path / "other.ini")
    refused(configuration.load(ini), "symbolic link", "--guard-config")


def test_a_fifo_does_not_hold_anybody_up(ini):
    os.mkfifo(ini, 0o600)
    signal.alarm(5)  # the default action ends the test run, which is better than a test that hangs
    try:
        refused(configuration.load(ini), "not a plain file", "put a text file there")
    finally:
        signal.alarm(0)


def test_a_directory_is_no_settings_file(ini):
    ini.mkdir(mode=0o700)
    refused(configuration.load(ini), "not a plain file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named(load):
    refused(load(FINE, 0o000), "cannot be read")


def test_a_file_that_is_not_utf8_is_named_with_its_line(load):
    refused(load(b"[notify]\n# fine\nemail = mailto://gr\xfc\xdfe\n"), "line 3", "save the file as UTF-8")


def test_utf16_is_not_utf8(load):
    refused(load(FINE.encode("utf-16")), "save the file as UTF-8")


def test_a_byte_order_mark_is_no_part_of_the_first_line(load):
    config = load(b"\xef\xbb\xbf" + FINE.encode())
    assert config.problems == ()
    assert config.server.control == "apachectl"


def test_lines_may_end_as_windows_has_it(load):
    config = load(FINE.replace("\n", "\r\n"))
    assert config.problems == ()
    assert config.channels == (Channel("email", EMAIL),)


def test_a_file_beyond_a_megabyte_is_refused(load):
    refused(load(FINE + "# filler\n" * 120_000), "larger than", "keep only settings in it")


def test_a_file_just_below_a_megabyte_is_read_whole(load):
    filler = "#" * (1024 * 1024 - len(FINE) - 1) + "\n"
    config = load(filler + FINE)
    assert config.problems == ()
    assert config.channels


def test_a_name_with_a_nul_character_is_a_problem_like_any_other():
    config = configuration.load(Path("/nowhere\0/guard.ini"))
    assert not config.server_usable
    assert "NUL" in only(config)


def test_the_locale_does_not_matter(load, ini):
    load("[notify]\nbüro = mailto://grüße:пароль@example.com\n")
    script = ("import sys\nfrom certbot_guard import config\nfrom pathlib import Path\n"
              "found = config.load(Path(sys.argv[1]))\nassert not found.problems, found.problems\n"
              "sys.stdout.buffer.write((found.channels[0].name + ' ' + found.channels[0].url).encode('utf-8'))\n")
    environment = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PATH": os.environ["PATH"],
                   "PYTHONPATH": str(Path(configuration.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", script, str(ini)], env=environment, cwd="/", check=True,
                          stdout=subprocess.PIPE, timeout=30)
    assert done.stdout.decode("utf-8") == "büro mailto://grüße:пароль@example.com"


# -- typos ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typo, near", [
    ("sever", "[server]"), ("Server", "[server]"), ("notfy", "[notify]"), ("Notify", "[notify]"), ("sate", "[state]"),
    ("certbt", "[certbot]"), ("chanel slack", "[channel NAME]"), ("channel", "[channel NAME]"),
])
def test_a_typo_in_a_section_names_the_line_and_the_nearest(load, ini, typo, near):
    config = load(f"# a comment\n[{typo}]\n")
    assert only(config) == f"{ini}, line 2: unknown section [{typo}]; did you mean {near}?"
    assert config.server_usable is (near != "[server]")


def test_an_unknown_section_that_is_near_to_none_names_them_all(load):
    text = only(load("[zzzz]\n"))
    assert "line 1" in text
    assert all(f"[{name}]" in text for name in configuration.SECTIONS)


@pytest.mark.parametrize("option", [one for one in options.OPTIONS], ids=lambda one: f"{one.section}.{one.name}")
@pytest.mark.parametrize("spoil", [lambda name: name[:-1] + "x", lambda name: "z" + name, str.upper],
                         ids=["end", "start", "capitals"])
def test_a_typo_in_a_key_names_the_line_and_the_nearest(load, option, spoil):
    if spoil(option.name) in options.of_section(option.section):
        pytest.skip("an option's own name")
    section = "channel email" if option.section == "channel" else option.section
    config = load(f"[notify]\nemail = {EMAIL}\n[{section}]\n\n{spoil(option.name)} = 1\n")
    text = only(config)
    assert "line 5" in text
    assert f"unknown key '{spoil(option.name)}' in [{section}]" in text
    assert f"did you mean '{option.name}'?" in text
    assert config.server_usable is (option.section != "server")
    assert config.channels == (Channel("email", EMAIL),)


def test_a_typo_of_apprise_config_names_it(load):
    assert "did you mean 'apprise_config'?" in only(load("[notify]\napprise_confg = /etc/apprise.yml\n"))


@pytest.mark.parametrize("key, value, instead", [
    ("control", "", "apachectl"), ("control", "-k", "apachectl"), ("control", "systemd:", "systemd:UNIT"),
    ("mode", "never", "auto, proxy, stop, reload"), ("mode", "Stop", "auto, proxy, stop, reload"),
    ("max_outage", "five minutes", "5m"), ("max_outage", "0", "longer than 0"), ("max_outage", "-5m", "5m"),
    ("max_outage", "9" * 400, "5m"), ("max_outage", "9" * 400 + "d", "5m"), ("max_outage", "²m", "5m"),
    ("max_outage", "nan", "5m"), ("drain", "2x", "5m"), ("start", "never", "as-found, always"),
    ("start_command", "systemctl 'start", "balanced quotes"), ("stop_command", "", "a command line"),
    ("listen", "http", "80 443"), ("listen", "0", "80 443"), ("listen", "65536", "80 443"), ("listen", "²", "80 443"),
    ("test_command", "a\0b", "control characters"),
])
def test_a_bad_value_in_server_says_what_to_write(load, ini, key, value, instead):
    config = load(f"[server]\n{key} = {value}\n")
    text = only(config)
    assert text.startswith(f"{ini}, line 2: the value of '{key}' in [server] is not usable; write ")
    assert instead in text
    assert not config.server_usable


@pytest.mark.parametrize("lines, instead", [
    ("[channel email]\nevents = failures", "failure recovery"), ("[channel email]\nevents =", "failure recovery"),
    ("[channel email]\nmin_severity = fatal", "info, warning, critical"),
    ("[state]\ndir = var/state", "an absolute path"), ("[state]\ndir =", "an absolute path"),
    ("[state]\ndir = /", "a directory of its own"), ("[state]\ndir = /etc", "a directory of its own"),
    ("[certbot]\nconfig_dir = '/etc/lets", "balanced quotes"), ("[certbot]\nconfig_dir = here", "absolute paths"),
    ("[certbot]\nconfig_dir =", "absolute paths"),
])
def test_a_bad_value_elsewhere_costs_itself_alone(load, lines, instead):
    config = load(f"{FINE}{lines}\n")
    text = only(config)
    assert "line 7" in text
    assert instead in text
    assert config.server_usable
    assert config.channels == (Channel("email", EMAIL),)
    assert config.state_dir is None
    assert config.certbot_config_dirs == ()


# -- each problem costs only itself --------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [
    "nothing", "= value", "slack slack://a/b/c", "bad = not-a-url", "bad =", "[notify", "[unclosed",
    "[unknown section]", "tab = slack://a\tb", "[channel nobody]\nevents = failure", "apprise_config =",
    "a/b = slack://a/b/c",
])
def test_a_broken_line_costs_only_itself(load, broken):
    config = load(f"[notify]\nfirst = slack://a/b/c\n{broken}\n[notify]\nlast = slack://d/e/f\n"
                  "[server]\nmode = stop\n[channel last]\nmin_severity = critical\n")
    assert any("line 3" in text for text in texts(config))
    assert [channel.name for channel in config.channels] == ["first", "last"]
    assert config.channels[1].min_severity == "critical"
    assert config.server_usable
    assert config.server.mode == "stop"
    assert config.apprise_configs == ()


def test_a_bad_option_of_a_channel_leaves_its_other_options(load):
    config = load("[notify]\na = slack://a/b/c\n[channel a]\nevents = recovery\nmin_severity = x\n")
    assert only(config)
    assert config.channels[0].events == {"recovery"}
    assert config.channels[0].min_severity == "info"


def test_a_section_for_a_channel_that_is_not_there_names_the_nearest(load):
    text = only(load("[notify]\nslack = slack://a/b/c\n[channel slak]\nevents = failure\n"))
    assert "line 3" in text
    assert "did you mean 'slack'?" in text


def test_a_key_that_is_there_twice_keeps_the_first(load):
    config = load("[server]\nmode = stop\nmode = reload\n")
    assert "line 3: 'mode' is there twice in [server]" in only(config)
    assert not config.server_usable
    assert config.server.mode == "stop"


def test_a_channel_that_is_there_twice_keeps_the_first(load):
    config = load("[notify]\na = slack://a/b/c\na = slack://d/e/f\n")
    assert "line 3: the channel 'a' is there twice" in only(config)
    assert config.channels == (Channel("a", "slack://a/b/c"),)
    assert config.server_usable


def test_a_section_that_is_there_twice_is_named_and_still_read(load):
    config = load("[notify]\na = slack://a/b/c\n[notify]\nb = slack://d/e/f\n")
    assert "line 3: [notify] is there twice, first in line 1" in only(config)
    assert [channel.name for channel in config.channels] == ["a", "b"]


def test_server_twice_means_no_server_is_stopped(load):
    assert not load("[server]\nmode = stop\n[server]\nstart = always\n").server_usable


@pytest.mark.parametrize("before, usable", [
    ("slack = slack://a/b/c", True), ("hello", True), ("control = apachectl", False), ("contrl = apachectl", False),
])
def test_text_before_the_first_section_is_named(load, before, usable):
    config = load(f"# a comment\n{before}\n{FINE}")
    text = only(config)
    assert "line 2" in text
    assert "before the first section, such as [notify]" in text
    assert config.server_usable is usable
    assert [channel.name for channel in config.channels] == ["email"]


@pytest.mark.parametrize("header", ["[apache]", "[web]", "[server", "[sever", "[settings"])
def test_server_lines_in_a_section_we_do_not_know_mean_that_no_server_is_stopped(load, header):
    assert not load(f"{header}\ncontrol = systemd:other\n").server_usable


@pytest.mark.parametrize("header", ["[mail]", "[slack]", "[apprise]", "[email"])
def test_a_channel_in_a_section_we_do_not_know_leaves_the_server_usable(load, header):
    config = load(f"{header}\nemail = {EMAIL}\nevents = failure\nmin_severity = info\n")
    assert config.server_usable
    assert "line 1" in only(config)


# -- values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [
    "slack://A/B/C/#ops", "json://h/100%25%s%(x)s", "mailto://u:p@h:25/?to=a,b;c", "json://h/?a=b=c==",
    "ntfy://h/a b  c", "mailto://grüße:пароль@host/日本", "json://[::1]:8080/", "json://h/$x`y`'\"\\",
    "syslog://", "json://h/ ; not a comment # neither", "json://h/{x}", "JSON://h",
])
def test_a_url_is_kept_exactly(load, url):
    config = load(f"[notify]\nx =   {url}  \n")
    assert config.problems == ()
    assert config.channels[0].url == url


def test_comments_and_empty_lines_are_passed_over(load):
    config = load("; one\n\n  # two\n[notify]\n   ; three\na = slack://a/b/c\n# four\n")
    assert config.problems == ()
    assert config.channels == (Channel("a", "slack://a/b/c"),)


def test_an_indented_line_continues_the_one_above(load):
    config = load("[server]\nstart_command = systemctl\n    start\n\n    apache2\nmode = stop\n")
    assert config.problems == ()
    assert config.server.start_command == "systemctl start apache2"
    assert config.server.mode == "stop"


@pytest.mark.parametrize("content", [
    "[notify]\n  a = slack://a/b/c\n  b = slack://d/e/f\n",
    "[notify]\na = slack://a/b/c\n  b = slack://d/e/f\n",
    "  [notify]\na = slack://a/b/c\n\tb = slack://d/e/f\n",
    "[server]\nmode = auto\n  [notify]\n  a = slack://a/b/c\n  b = slack://d/e/f\n",
])
def test_an_indented_channel_is_a_channel(load, content):
    config = load(content)
    assert config.problems == ()
    assert config.channels == (Channel("a", "slack://a/b/c"), Channel("b", "slack://d/e/f"))


def test_apprise_configs_are_relative_to_the_settings_file(load, ini):
    other = ini.parent / "elsewhere" / "other.yml"
    other.parent.mkdir(mode=0o700)
    for path in (ini.parent / "apprise.yml", other):
        path.touch(mode=0o600)
    config = load(f"[notify]\napprise_config = apprise.yml\napprise_config = {other}\n")
    assert config.problems == ()
    assert config.apprise_configs == (ini.parent / "apprise.yml", other)


def test_the_path_is_absolute(ini, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert configuration.load(Path("guard.ini")).path == ini


def test_every_option_is_read(load, tmp_path):
    config = load("[server]\ncontrol = command\nmode = reload\nmax_outage = 1h30m\ndrain = 0\nstart = always\n"
                  "start_command = a 'b c'\nstop_command = d\nreload_command = e\ntest_command = f\nlisten = 80, 443\n"
                  "[notify]\na = slack://a/b/c\nb = slack://d/e/f\n[channel a]\nevents = failure, recovery\n"
                  f"min_severity = critical\n[state]\ndir = {tmp_path}/state\n"
                  "[certbot]\nconfig_dir = /etc/letsencrypt '/srv/my certs'\n")
    assert config.problems == ()
    assert config.server == ServerConfig("command", "reload", 5400.0, 0.0, "always", "a 'b c'", "d", "e", "f",
                                         (80, 443))
    assert config.channels[0].events == {"failure", "recovery"}
    assert config.channels[0].min_severity == "critical"
    assert "success" not in config.channels[1].events
    assert config.state_dir == tmp_path / "state"
    assert config.certbot_config_dirs == (Path("/etc/letsencrypt"), Path("/srv/my certs"))


@pytest.mark.parametrize("left_out", ["start_command", "stop_command", "listen"])
def test_control_by_command_needs_its_commands(load, left_out):
    given = {"start_command": "a", "stop_command": "b", "listen": "80"}
    del given[left_out]
    config = load("[server]\ncontrol = command\n" + "".join(f"{key} = {value}\n" for key, value in given.items()))
    assert only(config).endswith(f"line 2: control = command also needs {left_out}.")
    assert not config.server_usable


def test_the_state_directory_may_be_one_of_ours_that_others_can_read(load, tmp_path):
    (tmp_path / "state" / "runs").mkdir(parents=True)
    (tmp_path / "state").chmod(0o755)
    config = load(f"[state]\ndir = {tmp_path}/state\n")
    assert config.problems == ()
    assert config.state_dir == tmp_path / "state"


# -- overrides and records -----------------------------------------------------------------------------------


def test_the_command_line_overrides_the_file(load):
    config = load("[server]\nmode = stop\nmax_outage = 1m\n")
    assert config.with_overrides() == config
    changed = config.with_overrides(mode="reload", max_outage="90s")
    assert (changed.server.mode, changed.server.max_outage_seconds) == ("reload", 90.0)
    assert config.server.mode == "stop"


@pytest.mark.parametrize("override, words", [
    ({"mode": "never"}, ["--guard-mode", "never", "auto, proxy, stop, reload"]),
    ({"max_outage": "soon"}, ["--guard-max-outage", "soon", "5m"]),
    ({"max_outage": "0"}, ["--guard-max-outage", "longer than 0"]),
    ({"max_outage": "9" * 400 + "h"}, ["--guard-max-outage", "5m"]),
])
def test_a_bad_override_says_what_to_write(load, override, words):
    with pytest.raises(GuardError) as caught:
        load("").with_overrides(**override)
    assert all(word in str(caught.value) for word in words)


def test_a_server_survives_its_way_through_a_record():
    import json

    server = ServerConfig(control="command", start_command="a", stop_command="b", listen=(80, 443), drain_seconds=1.5)
    record = json.loads(json.dumps({**server.to_json(), "of a newer version": 1}))
    assert ServerConfig.from_json(record) == server


# -- secrets -------------------------------------------------------------------------------------------------

_BROKEN = [
    "{url}", "= {url}", "[{url}]", "[{url}", "[notify] {url}]", "{url} = x", "{url}=https://example.com/?a=b",
    "x {url}", "x: {url}", "apprise_config = {url}", "apprise_config: {url}", "[channel {url}]\nevents = x",
    "x = \"{url}\"",
    "x = {url}\tb", "x = {url}\n  y\0", "[server]\ncontrol = {url}", "[server]\nmode = {url}",
    "[server]\nmax_outage = {url}", "[server]\nlisten = {url}", "[server]\n{url}", "[server]\nmode = auto\n  x = {url}",
    "[server]\ncontrol = auto\n  x = {url}", "[server]\nstart_command = '{url}", "[state]\ndir = {url}",
    "[certbot]\nconfig_dir = {url}", "[{url}]\nbroken line", "[{url}]\nmode = x", "[channel x]\nevents = {url}",
    "[channel x]\n{url}", "[sever]\n{url} = 1", "[server]\nx = 1\n  {url}",
]
_URLS = [
    EMAIL, f"slack://{SECRET}/T1JJ3T3L2/A1BRTD4JD", f"slack:/{SECRET}/T1JJ3T3L2", f"slack//{SECRET}/T1JJ3T3L2",
    f"slack:{SECRET}", f"{SECRET}/T1JJ3T3L2?x=1", f"user:{SECRET}@host", f"&pass={SECRET}",
]


@pytest.mark.parametrize("url", _URLS)
@pytest.mark.parametrize("line", _BROKEN)
def test_no_secret_is_quoted_whatever_is_wrong_with_its_line(load, line, url):
    first_part = f"[notify]\nx = slack://a/b/{SECRET}\n"
    for content in (line, first_part + line):
        config = load(content.format(url=url) + "\n")
        shown = repr(config) + "".join(texts(config)) + "".join(problem.section for problem in config.problems)
        assert SECRET not in shown
        assert not any(SECRET in channel.name for channel in config.channels)


def test_no_secret_is_in_what_a_fine_configuration_prints(load):
    config = load(FINE)
    assert config.channels[0].url == EMAIL
    assert SECRET not in repr(config)
    assert SECRET not in str(config.channels[0])


# -- Apprise's own opinion -----------------------------------------------------------------------------------


@pytest.fixture
def check(load):
    pytest.importorskip("apprise")

    def load_and_check(*urls):
        lines = "".join(f"channel{number} = {url}\n" for number, url in enumerate(urls))
        config = load(f"[notify]\n{lines}")
        assert config.problems == ()
        return [str(problem) for problem in configuration.check_urls(config)]
    return load_and_check


def test_apprise_accepts_good_urls(check):
    assert check(EMAIL, "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#ops", "json://localhost:8080/x",
                 "ntfys://example.com/topic", "syslog://") == []


def test_an_unknown_service_is_named_with_the_nearest(check, ini):
    assert check(f"slak://{SECRET}/T1JJ3T3L2/A1BRTD4JD") == [
        f"{ini}, line 2: the channel 'channel0' cannot be used: Apprise knows no service 'slak://'; did you mean 'slack://'?"]


@pytest.mark.parametrize("url", [
    "slack://{}", "slack://{}/x", "mailtos://user:{}@", "discord://{}", "tgram://{}/", "json://user:{}@:bad:port/",
    "mailto://user:{}@host:99999999", "msteams://{}", "matrix://{}", "twilio://{}:x@y", "json://[{}",
])
def test_what_apprise_refuses_never_quotes_the_secret(check, url):
    for said in check(url.format(SECRET)):
        assert SECRET.lower() not in said.lower()
        assert "channel0" in said
