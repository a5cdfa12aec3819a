"""What is seen of a process that listens, and that it is visited until it leaves: real processes and sockets."""

from __future__ import annotations

import subprocess
import sys

import pytest

from certbot_guard.challengeserver import ChallengeServer

# Leaves with its first visitor, as certbot's server does once it is told to stop.
_LISTENS = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
server.accept()
server.close()
print("left", flush=True)
input()
"""


@pytest.fixture
def listening():
    process = subprocess.Popen([sys.executable, "-I", "-c", _LISTENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True)
    yield process, int(process.stdout.readline())
    process.kill()
    process.communicate()


def test_it_has_its_port_until_it_was_visited(listening):
    process, port = listening
    certbots = ChallengeServer(process.pid, (port,))
    assert certbots.has_its_port
    certbots.wait_until_gone()
    assert not certbots.has_its_port and process.stdout.readline() == "left\n"


def test_what_it_listens_on_beside_that_is_not_visited(listening):
    process, port = listening
    other = ChallengeServer(process.pid, (port + 1,))
    assert not other.has_its_port
    other.wait_until_gone()
    assert ChallengeServer(process.pid, (port,)).has_its_port


def test_a_process_that_is_gone_has_none(listening):
    process, port = listening
    process.kill()
    process.wait()
    assert not ChallengeServer(process.pid, (port,)).has_its_port
