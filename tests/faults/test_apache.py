"""Apache cannot be stopped, started or reloaded safely: it serves as long as it can, and people know why it does not."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.support import processes
from tests.support.apache import PrivateApache, make_certificate
from tests.support.context import Context, wait_for
from tests.support.outage import apache_answers
from tests.support.ports import free_port

NAME = "one.guard.test"
# How soon Apache serves once nothing is in its way: tried again soon at first, then every 20 s.
RETRY_SECONDS = 60.0


def said(context: Context, count: int = 1) -> str:
    """The mails, all of them, when nothing more is to come."""
    context.wait_settled()
    return "\n".join(f"{mail.subject}\n{mail.text}" for mail in context.mailbox.stays_at(count, seconds=0.3))


def shows_the_new_certificate(context: Context, name: str = NAME) -> bool:
    served = context.apache.served_certificate(name)
    return served is not None and served.serial_number == context.home.certificate(name).serial_number


# -- a configuration or a certificate that Apache would not start with ---------------------------------------------


@pytest.mark.core
def test_an_apache_with_a_broken_configuration_is_not_stopped_and_people_read_what_configtest_says(
        context: Context) -> None:
    context.guarded_site(NAME)
    context.apache.break_configuration()
    with context.apache.watch() as outage:
        run = context.renew()
    assert run.returncode == 1 and outage.intervals == []
    assert context.home.version(NAME) == 1 and not context.ca.seen("new-order")
    assert "ThisDirectiveDoesNotExist" in run.output
    mail = said(context)
    assert NAME in mail and "ThisDirectiveDoesNotExist" in mail and "Apache serves" in mail


def test_a_webroot_lineage_is_renewed_with_a_broken_configuration_and_apache_not_reloaded(context: Context) -> None:
    context.guarded_site(NAME, authenticator="webroot")
    context.apache.break_configuration()
    with context.apache.watch() as outage:
        run = context.renew()
    assert run.returncode == 0 and context.home.version(NAME) == 2
    assert outage.intervals == [] and not shows_the_new_certificate(context)
    mail = said(context)
    assert "not reloaded" in mail and "ThisDirectiveDoesNotExist" in mail and "not renewed" not in mail


@pytest.mark.core
def test_a_configuration_broken_while_apache_is_stopped_is_told_at_once_and_apache_serves_soon_after_the_mend(
        context: Context) -> None:
    context.guarded_site(NAME)
    with context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        context.apache.break_configuration()
        held.release()
        told_down = context.mailbox.wait(1, timeout=60)[0]
    assert "DOWN" in told_down.subject and "ThisDirectiveDoesNotExist" in told_down.text
    assert not context.apache.serving()
    run.wait()
    context.mailbox.stays_at(1, seconds=1)  # not with every attempt
    context.apache.mend_configuration()
    context.apache.wait_serving(RETRY_SECONDS)
    told_up = context.mailbox.wait(2)[1]
    assert "again" in told_up.subject and "DOWN" not in told_up.subject
    said(context, 2)


def test_apache_is_not_stopped_when_one_of_its_certificates_does_not_fit_its_key(context: Context) -> None:
    context.guarded_site(NAME)
    context.apache.certificate.write_bytes(make_certificate()[0])  # configtest finds nothing wrong with that
    assert context.apache.ctl("configtest").returncode == 0
    with context.apache.watch() as outage:
        run = context.renew()
    assert run.returncode == 1 and outage.intervals == [] and not context.ca.seen("new-order")
    assert str(context.apache.certificate) in said(context)


def test_apache_is_not_reloaded_when_a_certificate_does_not_fit_its_key_and_survives(context: Context) -> None:
    context.guarded_site(NAME, authenticator="webroot")
    context.apache.certificate.write_bytes(make_certificate()[0])
    with context.apache.watch() as outage:
        run = context.renew()
    assert run.returncode == 0 and context.home.version(NAME) == 2
    assert outage.intervals == [] and context.apache.serving() and not shows_the_new_certificate(context)
    mail = said(context)
    assert "not reloaded" in mail and str(context.apache.certificate) in mail


# -- visitors who stay -----------------------------------------------------------------------------------------------


def _websocket(context: Context) -> socket.socket:
    """A connection in the middle of a request, which neither side ends: what a websocket is to Apache."""
    connection = socket.create_connection((context.apache.address, context.apache.http_port), timeout=5)
    connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Content-Length: 100000\r\n\r\nx")
    return connection


def _download(context: Context) -> socket.socket:
    visitor = context.apache.slow_visitor()
    connection = visitor.__enter__()
    context.cleanup(lambda: visitor.__exit__(None, None, None))
    return connection


@pytest.mark.core
@pytest.mark.parametrize("visit", [_download, _websocket])
def test_a_visitor_who_stays_delays_apache_by_no_more_than_drain_and_nothing_is_told(
        context: Context, visit: Callable[[Context], socket.socket]) -> None:
    context.guarded_site(NAME, server="drain = 1s\n")
    with context.apache.watch() as outage, visit(context):
        run = context.renew()
        context.wait_settled()
    assert run.returncode == 0 and shows_the_new_certificate(context)
    assert outage.intervals and not outage.down and outage.longest < 8.0  # the visitor would stay for ever
    context.mailbox.stays_at(0, seconds=0.5)


# -- down before the run ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True], ids=["and the renewal succeeds", "and the renewal fails"])
@pytest.mark.parametrize("start", ["as-found", "always"])
def test_an_apache_found_down_is_left_or_started_as_the_settings_say(context: Context, start: str, fails: bool) -> None:
    context.guarded_site(NAME, server=f"start = {start}\n")
    context.apache.stop()
    if fails:
        context.ca.invalid_challenge(NAME, "no such page")
    run = context.renew()
    assert run.returncode == (1 if fails else 0)
    context.wait_settled()
    assert context.apache.serving() == (start == "always")
    mails = context.mailbox.stays_at(1 if fails else 0, seconds=0.3)
    assert not fails or NAME in mails[0].text


# -- the port belongs to somebody else -------------------------------------------------------------------------------

_STRANGER = """\
import socket, sys, time
# By name it is nobody's web server. It waits until the port is free, and says so when it has it.
deadline = time.monotonic() + 30
while time.monotonic() < deadline:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", int(sys.argv[1])))
        listener.listen(50)
    except OSError:
        listener.close()
        time.sleep(0.0005)
        continue
    print("taken", flush=True)
    time.sleep(60)
"""


def _stranger(context: Context, port: int) -> subprocess.Popen[str]:
    """A program ``greedy-proxy`` that takes the port as soon as it can. Not marked as the test's: ended here."""
    program = Path(context.directory, "bin", "greedy-proxy")
    program.write_text(f"#!{sys.executable}\n{_STRANGER}")
    program.chmod(0o755)
    process = subprocess.Popen([str(program), str(port)], stdout=subprocess.PIPE, text=True, start_new_session=True)

    def end() -> None:
        process.kill()
        process.wait()
    context.cleanup(end)
    return process


def test_a_stranger_who_took_the_port_meanwhile_is_named_and_apache_serves_when_the_port_is_free(
        context: Context) -> None:
    context.guarded_site(NAME)
    with context.ca.hold("challenge", times=1) as held:
        run = context.renew(wait=False)
        held.wait()
        # certbot has the port: killed, it lets go, and whoever polls fastest has it next.
        strangers = [_stranger(context, context.apache.http_port) for _ in range(6)]
        wait_for(lambda: len(processes.marked(str(context.directory))) >= 1)
        run.send(signal.SIGSTOP)
        sentinels = context.sentinels()
        for pid in sentinels:  # the race is not what is tested: the stranger wins it
            processes.send(pid, signal.SIGSTOP)
        run.send(signal.SIGKILL)
        run.wait()
        wait_for(lambda: _listens(context.apache.http_port, strangers), 20, "a stranger on the port")
        for pid in sentinels:
            processes.send(pid, signal.SIGCONT)
        held.release(forward=False)
    told = context.mailbox.wait(1, timeout=60)[0]
    assert "DOWN" in told.subject and "greedy-proxy" in told.text
    for process in strangers:
        process.kill()
        process.wait()
    context.apache.wait_serving(RETRY_SECONDS)
    assert "again" in context.mailbox.wait(2)[1].subject
    said(context, 2)


def _listens(port: int, strangers: list[subprocess.Popen[str]]) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.core
def test_a_program_that_owns_the_challenge_port_is_not_taken_for_apache_and_named(context: Context) -> None:
    elsewhere = free_port()
    context.apache.listen = [f"127.0.0.1:{elsewhere}", f"127.0.0.1:{context.apache.https_port} https"]
    context.apache._write_everything()
    context.obtain(NAME)
    context.guard_ini()
    stranger = _stranger(context, context.apache.http_port)
    assert stranger.stdout is not None and stranger.stdout.readline() == "taken\n"
    context.apache.ctl("start")
    wait_for(lambda: apache_answers("127.0.0.1", elsewhere), 15, "Apache")
    run = context.renew()
    assert run.returncode == 1 and "greedy-proxy" in run.output and not context.ca.seen("new-order")
    assert stranger.poll() is None and apache_answers("127.0.0.1", elsewhere, 1)
    assert "greedy-proxy" in said(context) and not context.events("stopping")


def test_a_second_apache_on_the_challenge_port_is_not_stopped_for_the_first(context: Context) -> None:
    context.apache.listen = [f"127.0.0.1:{context.apache.https_port} https"]
    context.apache._write_everything()
    context.obtain(NAME)
    context.guard_ini()
    other = PrivateApache(context.directory / "second", http_port=context.apache.http_port, tls=False)
    context.cleanup(other.close)
    other.start()
    context.apache.ctl("start")
    wait_for(lambda: context.apache.tls_certificate(), 15, "Apache")
    parents = other.parents() + context.apache.parents()
    with context.apache.watch() as outage:
        run = context.renew()
    assert run.returncode == 1 and outage.intervals == [] and not context.ca.seen("new-order")
    # a configtest of the first Apache may be about to end
    wait_for(lambda: other.parents() + context.apache.parents() == parents, 5)
    assert f"port {context.apache.http_port} belongs to" in said(context)


# -- what Apache listens on ------------------------------------------------------------------------------------------


def test_a_proxy_protocol_listener_that_answers_no_plain_request_is_healthy(context: Context) -> None:
    port = free_port()
    context.apache.append(f"Listen 127.0.0.1:{port}\n<VirtualHost *:{port}>\n  RemoteIPProxyProtocol On\n</VirtualHost>")
    context.guarded_site(NAME)
    assert context.apache.get(port) is None  # it wants a PROXY header first
    run = context.renew()
    context.wait_settled()
    assert run.returncode == 0 and shows_the_new_certificate(context)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\nGET / HTTP/1.0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    context.mailbox.stays_at(0, seconds=0.3)


def _further_ports(context: Context) -> list[tuple[str, int]]:
    return [("127.0.0.1", free_port()), ("127.0.0.1", free_port())]


def _the_http_port_again(context: Context) -> list[tuple[str, int]]:
    return [("127.0.0.2", context.apache.http_port), ("::1", context.apache.http_port)]


@pytest.mark.parametrize("places", [_further_ports, _the_http_port_again])
def test_every_socket_that_apache_had_is_there_again(
        context: Context, places: Callable[[Context], Any]) -> None:
    further = places(context)
    for address, port in further:
        context.apache.append(f"Listen {f'[{address}]' if ':' in address else address}:{port}")
    context.guarded_site(NAME)
    with context.apache.watch() as outage:
        run = context.renew()
        context.wait_settled()
    assert run.returncode == 0 and outage.intervals and not outage.down and shows_the_new_certificate(context)
    assert all(apache_answers(address, port) for address, port in further)
    context.mailbox.stays_at(0, seconds=0.3)
