"""Who listens: the kernel's answer over netlink beside that of /proc, and how a listener is knocked at."""

from __future__ import annotations

import os
import socket

import pytest

from certbot_guard.servers import sockdiag, sockets
from certbot_guard.servers.sockets import Listener


def listening(address: str, port: int = 0) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((address, port))
    except OSError:
        made.close()
        pytest.skip(f"no {address} here")
    made.listen(1)
    made.settimeout(5)
    return made


def listener(held: socket.socket) -> Listener:
    found, = [one for one in sockets.of_processes([os.getpid()]) if one.port == held.getsockname()[1]
              and one.address == held.getsockname()[0]]
    return found


@pytest.mark.parametrize("address", ("127.0.0.1", "0.0.0.0", "::1", "::"))
def test_the_kernel_and_proc_name_the_same_socket(address: str) -> None:
    with listening(address) as held:
        found = listener(held)
        assert (found.address, found.port) == held.getsockname()[:2]
        assert found in [Listener(*one) for one in sockdiag.listening()] and found in sockets.listeners_in_proc()
    assert found.inode not in sockets.inodes_listening()


def test_a_socket_that_does_not_listen_is_none() -> None:
    with listening("127.0.0.1") as held, socket.create_connection(held.getsockname()) as visitor:
        mine = visitor.getsockname()[1]
        assert not sockets.listeners([mine])


def test_proc_is_read_where_the_kernel_is_not_to_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening("127.0.0.1") as held:
        found = listener(held)
        monkeypatch.setattr(sockdiag.socket, "AF_NETLINK", 44)  # no such family
        with pytest.raises(OSError):
            sockdiag.listening()
        assert sockets.listeners([found.port]) == [found] and found.inode in sockets.inodes_listening()


def test_a_list_that_the_kernel_broke_off_is_not_taken_for_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening("127.0.0.1") as held:
        found = listener(held)
        # The kernel's answer for a protocol that it has no module for: an end with an error number, and no listener.
        monkeypatch.setattr(sockdiag.socket, "IPPROTO_TCP", 255)
        with pytest.raises(OSError, match="sock_diag: No such file"):
            sockdiag.listening()
        assert sockets.listeners([found.port]) == [found]


def test_a_knock_is_a_visitor_who_says_nothing() -> None:
    with listening("127.0.0.1") as held:
        assert sockets.knock(listener(held), ())
        visitor, _ = held.accept()
        with visitor:
            assert visitor.recv(1) == b""


def test_whoever_else_listens_on_the_port_hears_nothing() -> None:
    with listening("127.0.0.1") as ours, listening("127.0.0.2", ours.getsockname()[1]) as other:
        assert sockets.knock(listener(ours), [listener(other)])
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_where_somebody_else_would_answer_nobody_knocks() -> None:
    with listening("127.0.0.1") as other:
        gone = Listener("0.0.0.0", other.getsockname()[1], 1)  # ours, before it went
        assert not sockets.knock(gone, [listener(other)])
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_a_knock_at_a_listener_that_has_left_or_takes_nobody_ends() -> None:
    with listening("127.0.0.1") as held:
        found = listener(held)
        visits = [sockets.knock(found, ()) for _ in range(20)]  # nobody accepts: they wait for room
        assert visits[0] and not visits[-1]
    assert not sockets.knock(found, ())
