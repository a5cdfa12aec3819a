"""The web server's troubles: what Apache itself prints, and the sentences of certbot_guard.servers."""

from __future__ import annotations

import shutil
import socket
import subprocess

import pytest

from certbot_guard.diagnosis import diagnose
from certbot_guard.errors import ServerError
from certbot_guard.servers import certificates, command, serving, systemd, units
from certbot_guard.servers.configuration import Named
from tests.support.authority import Authority

APACHE = shutil.which("apache2") or shutil.which("apache2", path="/usr/sbin")
KINDS = ["refused", "left-running", "stop-failed", "start-failed", "reload-refused", "reload-failed"]
TEST_FAILS = "Apache's configuration test fails, so it would not start again"


def event(kind: str, reason: object = "", detail: str = "", **fields) -> dict:
    return {"kind": kind, "lineage": "a.example", "reason": str(reason), "detail": detail or getattr(reason, "detail",
        ""), **fields}


def apache(tmp_path, configuration: str, *arguments: str) -> str:
    """What Apache prints about this configuration."""
    (tmp_path / "apache.conf").write_text(
        f"ServerRoot {tmp_path}\nPidFile {tmp_path}/pid\nErrorLog {tmp_path}/error.log\nServerName a.example\n"
        f"LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n{configuration}\n")
    done = subprocess.run([APACHE, "-f", str(tmp_path / "apache.conf"), *arguments], capture_output=True, text=True,
        timeout=20)
    assert done.returncode, done
    log = tmp_path / "error.log"
    return done.stdout + done.stderr + (log.read_text() if log.exists() else "")


MISTAKES = [("Listen 127.0.0.1:9\nFooBar on", "server-configuration", "Invalid command 'FooBar'"), (
    "Listen 127.0.0.1:9\nUser nobody-of-that-name", "server-configuration", "bad user name"), (
    "Listen 127.0.0.1:9\nLoadModule ssl_module /nonexistent/mod_ssl.so", "server-missing-file",
    "/nonexistent/mod_ssl.so"), ("Listen 127.0.0.1:9\nInclude /nonexistent/site.conf", "server-missing-file",
    "/nonexistent/site.conf"), ("Listen 127.0.0.1:9\nLoadModule ssl_module "
    "/usr/lib/apache2/modules/mod_ssl.so\nSSLCertificateFile /nonexistent/fullchain.pem", "server-missing-file",
    "/nonexistent/fullchain.pem"),]


@pytest.mark.skipif(not APACHE, reason="needs apache2")
@pytest.mark.parametrize("configuration, cause, words", MISTAKES, ids=[row[1] + str(index) for index, row in enumerate(
    MISTAKES)])
@pytest.mark.parametrize("kind", ["refused", "start-failed"])
def test_a_mistake_in_apache_s_configuration_is_told_in_apache_s_words(tmp_path, configuration, cause, words, kind):
    detail = apache(tmp_path, configuration, "-t")
    found = diagnose(event(kind, TEST_FAILS, detail), {})
    assert (found.cause, found.whose) == (cause, "configuration") and found.transient is False
    assert words in found.happened, (found.happened, detail)


@pytest.mark.skipif(not APACHE, reason="needs apache2")
def test_apache_s_port_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        detail = apache(tmp_path, f"Listen 127.0.0.1:{port}", "-k", "start")
    found = diagnose(event("start-failed", "Apache did not start: exit code 1", detail), {})
    assert found.cause == "server-port-taken" and str(port) in found.happened


@pytest.mark.skipif(not APACHE, reason="needs apache2")
def test_a_certificate_that_does_not_fit_is_found_in_apache_s_log(tmp_path):
    authority = Authority()
    certificate, _ = authority.write(tmp_path, "one", ["a.example"])
    _, key = authority.write(tmp_path, "other", ["a.example"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    detail = apache(tmp_path, f"Listen 127.0.0.1:{port}\nLoadModule ssl_module "
        f"/usr/lib/apache2/modules/mod_ssl.so\nSSLEngine on\nSSLCertificateFile {certificate}\nSSLCertificateKeyFile "
        f"{key}", "-k", "start")
    found = diagnose(event("start-failed", "Apache did not start: exit code 1", detail), {})
    assert found.cause == "server-key-mismatch"


def caught(action) -> ServerError:
    with pytest.raises(ServerError) as found:
        action()
    return found.value


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_that_does_not_fit_its_key_is_told_with_both_files(tmp_path, kind):
    authority = Authority()
    certificate, _ = authority.write(tmp_path, "one", ["a.example"])
    _, key = authority.write(tmp_path, "other", ["a.example"])
    error = caught(lambda: certificates._check_pair(_named(certificate), _named(key), False))
    found = diagnose(event(kind, error), {})
    assert found.cause == "server-key-mismatch" and "one.pem" in found.happened
    assert found.key == f"server-key-mismatch|{kind}"


def test_a_file_that_is_no_pem(tmp_path):
    (tmp_path / "x.pem").write_text("nothing")
    error = caught(lambda: certificates._check_readable(_named(tmp_path / "x.pem")))
    assert diagnose(event("refused", error), {}).cause == "server-certificate-unreadable"


def test_a_port_of_somebody_else_is_told_with_who_it_is():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        error = caught(lambda: serving.claims(port, "127.0.0.1", lambda pid: False, "Apache"))
    found = diagnose(event("refused", error), {})
    assert found.cause == "server-port-taken"
    assert f"port {port} belongs to" in found.happened and "(pid " in found.happened
    assert found.key == f"server-port-taken|refused|{port}"


def test_a_unit_with_an_impossible_name():
    error = caught(lambda: units.full_name("a/b"))
    assert diagnose(event("start-failed", error), {}).cause == "server-unit"


# kind, reason (each is a sentence of certbot_guard's own), cause
SENTENCES = [
    ("left-running", "the sentinel is gone, so nobody could bring Apache back", "sentinel"),
    ("refused", "another certbot run has it stopped, and did not end in time", "another-run"),
    ("refused", "it went down earlier in this run and does not start; that is tried again and again until it "
        "does", "stopped-before"),
    ("refused", "neither /var/lib/x nor /run/x can be written: [Errno 28] No space left on device", "server-disk-full"),
    ("refused", "no run can be recorded: /var/lib/certbot-guard cannot be written: x", "state"),
    ("refused", "control = nginx: there is no such program, and no plugin of that name", "server-unknown"),
    ("not-attempted", "max_outage had passed in this run", "max-outage"),
    ("not-attempted", "certbot ended before it came to them", "certbot-ended"),
    ("left-down", "apache2.service was masked while it was stopped, so it is left down", "server-by-a-person"),
    ("left-down", "Apache was stopped by somebody after it served again, so it is left down", "server-by-a-person"),
    ("reload-failed", "Apache died when it was reloaded", "server-died-reloading"),
    ("reload-failed", "Apache did not reload within 10 s", "server-slow"),
    ("reload-failed", "Apache does not serve as before since it was reloaded", "server-partly"),
    ("reload-refused", "guard.ini names no reload_command, so the server is not reloaded", "no-reload"),
    ("reload-refused", "the web server of this run is not known", "server-unknown"),
    ("stop-failed", "apache2.service still listens 10 s after it was told to stop", "server-slow"),
    ("start-failed", "Apache: it runs, but does not listen on 0.0.0.0:443, as it did before", "server-partly"),
    ("start-failed", "Apache did not start: it ended right after its start", "server-ended-at-once"),
    ("refused", "Apache (pid 12) is kept running by supervisord (pid 4), which has to stop it", "server-supervised"),
    ("start-failed", "/run/apache2/apache2.pid is in the way and cannot be set aside: [Errno 1] x", "server-pid-file"),
    ("start-failed", "something that was never heard of", "web-server"),
]


@pytest.mark.parametrize("kind, reason, cause", SENTENCES, ids=[f"{row[0]} {row[2]}" for row in SENTENCES])
def test_each_of_our_own_sentences_is_recognised(kind, reason, cause):
    found = diagnose(event(kind, reason), {})
    assert found.cause == cause, found
    assert found.key.startswith(f"{cause}|{kind}")


def test_our_sentences_are_still_in_the_code():
    """The table above would go stale without a word."""
    import inspect

    from certbot_guard import hooks, need, settle
    from certbot_guard.servers import apache as controller
    from certbot_guard.servers import instance, obstacles, reloading

    code = " ".join("".join(inspect.getsource(module) for module in (
        hooks, need, settle, controller, instance, obstacles, reloading, serving, command, systemd, certificates)).split())
    for words in ("the sentinel is gone", "another certbot run has it stopped", "it went down earlier in this "
            "run", "max_outage had passed", "certbot ended before it came to them", "was masked while it was stopped",
        "by somebody after it served again", "died when it was reloaded", "did not reload within", "does not serve as "
        "before since", "names no reload_command", "web server of this run is not known", "still listens",
        "but does not listen on", "it ended right after its start", "is kept running by", "is in the way and cannot "
        "be set aside", "does not fit its key", "belongs to", "configuration test fails"):
        assert words in code, words


@pytest.mark.parametrize("action", ["gave-up-lineage", "interrupted", "killed"])
def test_max_outage_is_explained(action):
    found = diagnose(event("overdue", action=action, max_outage_seconds=300), {})
    assert found.cause == "max-outage" and found.transient is True and found.advice.startswith("Nothing now")


@pytest.mark.parametrize("fields, cause, words", [
    ({"kind": "not-served", "lineage": "a.example", "where": ["127.0.0.1:443"]}, "old-certificate-served",
     "127.0.0.1:443 still serves"),
    ({"kind": "config-problem", "lineage": "a.example", "text": "mode = proxy: ...", "reason": "403"}, "not-proxied",
     "of a.example was to pass through Apache, which had to be stopped for it: "),
    ({"kind": "config-problem", "text": "[notify] line 3: no such option"}, "settings", "no such option"),
    ({"kind": "guard-error", "where": "prepare", "error": "KeyError: 'x'"}, "guard-error", "KeyError"),
    ({"kind": "died"}, "certbot-died", "killed"),
    ({"kind": "serving", "again": True}, "serving-again", "serves again"),
])
def test_the_other_kinds_of_events_are_explained(fields, cause, words):
    found = diagnose(fields, {})
    assert found.cause == cause and words in found.happened


def test_a_refusal_that_certbot_reports_as_the_lineage_s_error_is_the_refusal():
    """As need.py raises it in prepare()."""
    error = (f"certbot-guard leaves Apache running and does not renew a.example: {TEST_FAILS}\n"
             "AH00526: Syntax error on line 3 of /etc/x.conf:\nInvalid command 'Foo'")
    found = diagnose({"kind": "lineage-failed", "error": error, "evidence": {"types": ["certbot.errors.Error"]}}, {})
    assert found == diagnose(event("refused", TEST_FAILS, error.partition("\n")[2]), {})
    assert found.cause == "server-configuration" and "Invalid command" in found.happened


def test_a_server_with_commands_of_its_own_is_not_called_apache():
    found = diagnose(event("start-failed", "start_command failed (exit code 1)"), {"server": {"control": "command"}})
    assert found.happened.startswith("The web server did not start")


def _named(path) -> Named:
    import dataclasses

    values = {"path": str(path), "place": "apache.conf:1", "certain": True, "file": "apache.conf", "line": 1}
    return Named(**{one.name: values[one.name] for one in dataclasses.fields(Named) if one.name in values})


@pytest.mark.parametrize("detail, cause", [
    ("(13)Permission denied: AH00099: could not create /run/apache2/apache2.pid.x\nAH10231: Failed creating pid file",
     "server-permission"),
    ("(30)Read-only file system: AH00099: could not create /run/apache2/apache2.pid.x\nAH10231: Failed creating pid file",
     "server-read-only"),
    ("(13)Permission denied: AH00072: make_sock: could not bind to address [::]:80\nno listening sockets available",
     "server-permission"),
    ("(98)Address already in use: AH00072: make_sock: could not bind to address [::]:80", "server-port-taken"),
    ("(28)No space left on device: AH00099: could not create /run/apache2/apache2.pid.x\nAH10231", "server-disk-full"),
    ("AH02562: Failed to configure certificate a.example:443:0 (with chain)\nSSL Library Error: ee key too small",
     "server-certificate-weak"),
    ("AH02565: Certificate and private key a.example:443:0 from /a and /b do not match", "server-key-mismatch")])
def test_apaches_own_numbers_are_not_taken_for_others(detail, cause):
    assert diagnose(event("start-failed", "it does not start", detail), {}).cause == cause
