"""What a wrong or hostile guard.ini must not do: leak, lead elsewhere, be trusted by proxy, stop anybody."""

from __future__ import annotations

import configparser
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from certbot_guard import config as configuration
from certbot_guard import inifile, options
from certbot_guard.errors import GuardError

SECRET = "hunter2Sesame"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="changes owners")


@pytest.fixture
def load(tmp_path):
    def write_and_load(content):
        ini = tmp_path / "guard.ini"
        ini.write_bytes(content.encode("utf-8"))
        ini.chmod(0o600)
        return configuration.load(ini)
    return write_and_load


def texts(config):
    return [str(problem) for problem in config.problems]


def only(config):
    assert len(config.problems) == 1, texts(config)
    return str(config.problems[0])


# -- lines -------------------------------------------------------------------------------------------------


def test_a_url_broken_over_two_lines_is_not_used_by_half(load):
    config = load("[notify]\na = slack://a/b/c\nb = json://user:pass@h/\n"
                  f"    {SECRET}/x?to=y\nc = slack://d/e/f\n")
    assert "line 4: this line continues the channel 'b' of line 3" in only(config)
    assert SECRET not in repr(config)
    assert [channel.name for channel in config.channels] == ["a", "c"]
    assert config.server_usable


def test_a_comment_may_follow_a_section_s_name(load):
    config = load("[notify]  # people\na = slack://a/b/c\n[server] ; Apache [sic]\nmode = stop\n")
    assert config.problems == ()
    assert [channel.name for channel in config.channels] == ["a"]
    assert config.server.mode == "stop"


@pytest.mark.parametrize("section", ["proxy", "fleet"])
def test_a_section_of_a_later_version_is_a_problem_and_does_no_harm(load, section):
    config = load(f"[{section}]\nevery = 6h\nurl = https://example.com/\n[notify]\na = slack://a/b/c\n")
    assert f"line 1: unknown section [{section}]" in only(config)
    assert config.server_usable
    assert config.channels


def test_a_broken_channel_is_one_problem_though_it_has_a_section_of_its_own(load):
    assert "line 2" in only(load("[notify]\na = nothing\n[channel a]\nevents = failure\n"))


def test_problems_are_in_the_order_of_their_lines(load):
    lines = [text.split(", line ")[1].split(":")[0] for text in texts(load(
        "[notify]\na = x\n[state]\ndir = x\n[what]\n[server]\nmode = x\n[channel z]\n"))]
    assert lines == sorted(lines, key=int) and len(lines) == 5


def test_a_file_of_rubbish_is_not_a_flood_of_problems(load):
    config = load("[notify]\n" + "rubbish\n" * 5000)
    assert len(config.problems) == 51
    assert "4950 more" in str(config.problems[-1])


@pytest.mark.parametrize("content", [
    "[server]\nmode = stop\nstart_command = a\n   b\n\n   c\ndrain=1\n# end\n",
    "# first\n[notify]\na = json://h/?x=#1;2%20%(y)s:z,w\n b = json://h\n[state]\ndir = /srv/x\n",
    "[channel A b]\nevents = failure\n\tsuccess\n; x\nmin_severity =critical\n",
])
def test_it_is_configparser_s_grammar(tmp_path, content):
    theirs = configparser.RawConfigParser(delimiters=("=",), inline_comment_prefixes=None)
    theirs.optionxform = str
    theirs.read_string(content.replace("\n b = ", "\nb = "))
    ours = inifile.IniFile(tmp_path / "guard.ini", content)
    assert ours.problems() == ()
    assert [(entry.section, entry.key, entry.value) for entry in ours.entries] == [
        (section, key, " ".join(value.split()))
        for section in theirs.sections() for key, value in theirs.items(section)]


# -- values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines, meant", [
    ("[server]\nmode = stp", "stop"), ("[server]\nmode = Reload", "reload"),
    ("[server]\nstart = allways", "always"),
    ("[notify]\na = slack://a\n[channel a]\nevents = recovery falure", "failure"),
    ("[notify]\na = slack://a\n[channel a]\nmin_severity = critcal", "critical"),
])
def test_a_misspelt_value_names_the_nearest(load, lines, meant):
    assert only(load(lines + "\n")).endswith(f"; did you mean '{meant}'?")


def test_a_misspelt_mode_on_the_command_line_names_the_nearest(load):
    with pytest.raises(GuardError, match="did you mean 'stop'"):
        load("").with_overrides(mode="stpo")


@pytest.mark.parametrize("command", ["./start", "bin/start", "../x", "-x", "A=b start", "x=y"])
def test_a_command_is_a_name_or_an_absolute_path(command):
    with pytest.raises(ValueError, match="a name or an absolute path"):
        options.command_line(command)


@pytest.mark.parametrize("command", ["nginx -t && nginx", "a; b", "a ; b", "a | b", "a > /x 2>&1", "a &"])
def test_a_command_that_needs_a_shell_says_so(command):
    with pytest.raises(ValueError, match="/bin/sh -c"):
        options.command_line(command)


@pytest.mark.parametrize("command", [
    "nginx", "/usr/sbin/nginx -s reload", "/bin/sh -c 'a && b; c > d'", "rc-service x stop",
    "'/opt/my server/ctl' start", "docker exec web nginx -t -c /a=b", "[ -e /x ]",
])
def test_other_commands_are_kept_as_they_are(command):
    assert options.command_line(command) == command


# -- Apprise's configuration files -------------------------------------------------------------------------


@pytest.fixture
def apprise_file(tmp_path):
    path = tmp_path / "apprise.yml"
    path.write_text(f"urls:\n  - json://user:{SECRET}@127.0.0.1/\n")
    path.chmod(0o600)
    return path


APPRISE = "[notify]\na = slack://a/b/c\napprise_config = apprise.yml\n"


def test_an_apprise_file_of_ours_is_used(load, apprise_file):
    config = load(APPRISE)
    assert config.problems == ()
    assert config.apprise_configs == (apprise_file,)


def test_an_apprise_file_that_others_can_read_is_used_with_a_problem(load, apprise_file):
    apprise_file.chmod(0o644)
    config = load(APPRISE)
    assert f"line 3: {apprise_file} holds passwords" in only(config)
    assert f"chmod 600 {apprise_file}" in only(config)
    assert config.apprise_configs == (apprise_file,)


def spoil_missing(path):
    path.unlink()


def spoil_mode(path):
    path.chmod(0o666)


def spoil_link(path):
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def spoil_pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("spoil, says", [
    (spoil_missing, "there is none of that name"), (spoil_mode, "chmod 600"), (spoil_link, "symbolic link"),
    (spoil_pipe, "not a plain file"),
])
def test_an_apprise_file_that_is_not_ours_alone_is_not_used(load, apprise_file, spoil, says):
    spoil(apprise_file)
    config = load(APPRISE)
    assert "line 3" in only(config) and says in only(config)
    assert config.apprise_configs == ()
    assert [channel.name for channel in config.channels] == ["a"]
    assert config.server_usable


@needs_root
def test_an_apprise_file_of_somebody_else_is_not_used(load, apprise_file):
    os.chown(apprise_file, 65534, 65534)
    config = load(APPRISE)
    assert "65534" in only(config)
    assert config.apprise_configs == ()


# -- promise 5 ---------------------------------------------------------------------------------------------


def test_a_bug_of_ours_is_a_problem_and_no_exception_and_quotes_nothing(load, monkeypatch):
    def bug(*_arguments):
        raise RuntimeError(SECRET)

    monkeypatch.setattr(configuration, "IniFile", bug)
    config = load(f"[notify]\na = json://user:{SECRET}@h/\n")
    assert "RuntimeError" in only(config)
    assert SECRET not in repr(config)
    assert not config.server_usable


def test_a_current_directory_that_is_gone_is_no_missing_file(tmp_path):
    script = ("import os, sys, pathlib\ngone = pathlib.Path(sys.argv[1])\n"
              "gone.mkdir()\nos.chdir(gone)\ngone.rmdir()\n"
              "from certbot_guard import config\nfound = config.load(pathlib.Path('guard.ini'))\n"
              "assert not found.missing and not found.server_usable and found.problems, found\n")
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "gone")], check=True, timeout=30,
                   env={**os.environ, "PYTHONPATH": str(Path(configuration.__file__).parents[1])})


def test_importing_and_loading_stays_cheap(tmp_path):
    script = ("import sys\nfrom pathlib import Path\n"
              "before = set(sys.modules)\nfrom certbot_guard import config\n"
              "config.load(Path(sys.argv[1]))\n"
              "dear = {'apprise', 'configparser', 'sqlite3', 'click', 'subprocess', 'tempfile', 'ssl'}\n"
              "sys.exit(', '.join(dear & (set(sys.modules) - before)) or 0)\n")
    ini = tmp_path / "guard.ini"
    ini.write_text("[notify]\na = slack://a/b/c\n[channel a]\nevents = failure\n[server]\nmode = stop\n")
    ini.chmod(0o600)
    subprocess.run([sys.executable, "-c", script, str(ini)], check=True, timeout=30,
                   env={**os.environ, "PYTHONPATH": str(Path(configuration.__file__).parents[1])})


# -- what Apprise says -------------------------------------------------------------------------------------


@pytest.fixture
def everything_logged():
    """Every record that reaches the root logger, as certbot's own handler sees them in letsencrypt.log."""
    records = []

    class Keep(logging.Handler):
        def emit(self, record):
            records.append(record.getMessage())

    root, apprise, handler = logging.getLogger(), logging.getLogger("apprise"), Keep()
    before = root.level, apprise.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield records
    root.removeHandler(handler)
    root.setLevel(before[0])
    apprise.setLevel(before[1])


BROKEN_URLS = [
    f"slack://{SECRET}", f"mailtos://user:{SECRET}@", f"mailto://u:{SECRET}@h?from=a@b.c&format={SECRET}",
    f"json://[::1/{SECRET}", f"slack://a b {SECRET}", f"nosuch://{SECRET}",
    f"matrix://u:{SECRET}@h?mode={SECRET}",
    f"mailtos://u:{SECRET}@host?from=a@b.c&to=d@e.f&mode={SECRET}x", f"tgram://{SECRET}",
    f"twilio://{SECRET}:x@123",
]


@pytest.mark.parametrize("url", BROKEN_URLS)
def test_apprise_s_own_words_reach_no_log_and_no_screen(load, everything_logged, capfd, url):
    pytest.importorskip("apprise")
    config = load(f"[notify]\na = {url}\n")
    assert config.problems == ()
    found = configuration.check_urls(config)
    assert len(found) == 1 and "'a'" in str(found[0])
    said = "".join(everything_logged) + str(found) + "".join(capfd.readouterr())
    assert SECRET.lower() not in said.lower()


def test_apprise_s_logger_is_as_it_was_afterwards(load):
    pytest.importorskip("apprise")
    logger = logging.getLogger("apprise")
    before = logger.propagate, list(logger.handlers)
    configuration.check_urls(load(f"[notify]\na = slack://{SECRET}\n"))
    assert (logger.propagate, list(logger.handlers)) == before


def test_apprise_files_are_asked_as_well(load, apprise_file):
    pytest.importorskip("apprise")
    config = load(APPRISE.replace("a = slack://a/b/c\n", ""))
    assert configuration.check_urls(config) == ()
    apprise_file.write_text(f"urls:\n  - nosuch://{SECRET}\n")
    (problem,) = configuration.check_urls(config)
    assert str(apprise_file) in str(problem)
    assert SECRET not in str(problem)


# -- sections of what looks from outside -----------------------------------------------------------------------------


def test_endpoints_are_read_as_they_are_written(load):
    config = load("[watch]\nstale_after = 4d\nserved = no\nendpoints = mail.example.com:25 starttls=smtp, imap.example.com:993,\n"
                  "  127.0.0.1:8443 name=example.com, [::1]:993\n")
    assert config.problems == () and config.watch.stale_after_seconds == 4 * 86400 and config.watch.served == "no"
    assert [(one.host, one.port, one.starttls, one.asked) for one in config.watch.endpoints] == [
        ("mail.example.com", 25, "smtp", "mail.example.com"), ("imap.example.com", 993, "", "imap.example.com"),
        ("127.0.0.1", 8443, "", "example.com"), ("::1", 993, "", "::1")]


@pytest.mark.parametrize("value", ["hostonly.test", "example.com:0", "example.com:99999", "::1:993", "a:1 starttls=telnet", "a:1 tls=no",
                                   "a:1 name=", "-a:1", "a b:1", "a:1 name=x name=y", "$(reboot):1", "[]:5", "a:1 name=<x>"])
def test_an_endpoint_that_is_none_is_one_problem_and_is_not_quoted(load, value):
    config = load(f"[watch]\nendpoints = {value}\n[notify]\na = json://127.0.0.1:9/\n")
    assert "line 2: the value of 'endpoints' in [watch] is not usable; write HOST:PORT" in only(config)
    assert value not in only(config) and config.server_usable and config.channels and config.watch.endpoints == ()


def test_services_to_reload_and_their_commands(load):
    config = load("[deploy]\nalso_reload = postfix dovecot@a.service\nhaproxy_command = haproxyctl reload\n")
    assert config.problems == () and config.deploy.also_reload == ("postfix", "dovecot@a.service")
    assert config.deploy.commands == (("haproxy", "haproxyctl reload"),)


@pytest.mark.parametrize("line", ["also_reload = -x", "also_reload = a;b", "x_command = a && b", "_command = a", "$x_command = a",
                                  "also_relaod = a"])
def test_a_service_that_is_none_is_one_problem(load, line):
    config = load(f"[deploy]\n{line}\n")
    assert "line 2" in only(config) and config.deploy == configuration.DeployConfig()


@pytest.mark.parametrize("url", ["hc.example/x", "ftp://hc.example/x", "https:///x", "https://a:b/x", "https://h/a b"])
def test_a_heartbeat_that_is_no_url_is_one_problem_and_is_not_quoted(load, url):
    config = load(f"[heartbeat]\nurl = {url}\n")
    assert url not in only(config) and config.heartbeat_url is None


def test_a_heartbeat_is_no_part_of_what_is_printed_of_the_settings(load):
    config = load(f"[heartbeat]\nurl = https://hc.example/{SECRET}\n[metrics]\ntextfile = relative\n")
    assert config.heartbeat_url == f"https://hc.example/{SECRET}" and SECRET not in repr(config)
    assert "absolute path" in only(config)
