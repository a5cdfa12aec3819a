"""Reading certbot's command line where certbot itself told us nothing."""

from pathlib import Path

import pytest

from certbot_guard import invocation


@pytest.mark.parametrize("arguments, verb", [
    (["renew"], "renew"), (["-q", "renew", "--force-renewal"], "renew"), (["--config-dir", "/x", "renew"], "renew"),
    (["certificates"], "certificates"), ([], None),
])
def test_the_verb_is_found(arguments, verb):
    assert invocation.read(arguments).verb == verb


def test_directories_are_read_in_both_spellings():
    said = invocation.read(["renew", "--config-dir=/a/b", "--logs-dir", "/c", "--guard-config", "/d/g.ini"])
    assert (said.config_dir, said.logs_dir, said.guard_config) == (Path("/a/b"), Path("/c"), Path("/d/g.ini"))


def test_guard_ini_lies_in_the_configuration_directory():
    assert invocation.read(["renew", "--config-dir", "/a"]).guard_config == Path("/a/guard.ini")


def test_cli_ini_is_read_and_the_command_line_wins(tmp_path):
    ini = tmp_path / "cli.ini"
    ini.write_text("# a comment\nconfig-dir = /from/ini\nlogs-dir = '/logs'\n")
    assert invocation.read(["renew", "-c", str(ini)]).config_dir == Path("/from/ini")
    assert invocation.read(["renew", "-c", str(ini)]).logs_dir == Path("/logs")
    assert invocation.read(["renew", "-c", str(ini), "--config-dir", "/said"]).config_dir == Path("/said")


def test_secrets_of_the_command_line_are_not_kept():
    kept = invocation.masked(["register", "--eab-hmac-key", "s3cret", "--eab-kid=k1d", "--server", "https://ca"])
    assert "s3cret" not in " ".join(kept) and "k1d" not in " ".join(kept)
    assert kept[-1] == "https://ca"


def test_a_flag_that_only_looks_like_a_secret_hides_no_other_option() -> None:
    assert invocation.masked(["renew", "--reuse-key", "--cert-name", "a"]) == ["renew", "--reuse-key", "--cert-name", "a"]


def test_hooks_may_hold_secrets() -> None:
    kept = invocation.masked(["--post-hook", "curl https://h/s3cret", "--pre-hook=x s3cret", "renew"])
    assert kept == ["--post-hook", "***", "--pre-hook=***", "renew"]
