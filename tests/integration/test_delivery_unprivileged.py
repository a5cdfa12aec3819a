"""Who talks to strangers, seen from outside while a service holds the connection: not root, and with no way back."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Union

import pytest

from certbot_guard import sender, unprivileged
from certbot_guard.journal import Journal
from certbot_guard.message import Message
from tests.support import processes, readable_python
from tests.support.mailbox import Mailbox
from tests.support.webhook import Webhook

ROOT = Path(__file__).parents[2]
SECRETS = ("Firstsecretinapath", "Othersecretinapath")
PING = "11111111-2222-4333-8444-555555555555"
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to give up")
_SETTLER = """
import json, sys
from pathlib import Path
from certbot_guard import notify
from certbot_guard.config import Channel, Config
from certbot_guard.journal import Journal
job = json.load(sys.stdin)
settings = Config(Path("/x"), channels=tuple(Channel(name, url) for name, url in job["channels"].items()))
notify.deliver_outbox([Journal.open(Path(job["state"]))], settings, 20.0)
"""
_PINGER = "import sys; from certbot_guard import heartbeat; print(heartbeat.success(sys.stdin.read(), '', 'all is well'))"


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    found = readable_python.make(directory)
    if found is None:
        pytest.skip("no Python here that everybody may read has these packages: a sender stays root then")
    yield found
    shutil.rmtree(directory)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Journal]:
    with closing(Journal.open(tmp_path)) as opened:
        yield opened


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with closing(Webhook()) as one:
        yield one


@pytest.fixture
def other() -> Iterator[Webhook]:
    with closing(Webhook()) as one:
        yield one


@pytest.fixture
def mail() -> Iterator[Mailbox]:
    with closing(Mailbox()) as one:
        yield one


@contextmanager
def started(python: Path, code: str, given: str) -> Iterator[subprocess.Popen]:
    environment = {"PATH": os.environ["PATH"]}  # a CA bundle of this session's may be root's alone
    process = subprocess.Popen([python, "-I", "-c", code], cwd="/", env=environment, stdin=subprocess.PIPE,
                               extra_groups=[4, 24] if os.geteuid() == 0 else None)  # as root's login may have
    assert process.stdin is not None
    try:
        process.stdin.write(given.encode())
        process.stdin.close()
        yield process
    finally:
        processes.kill(lambda: [pid for pid in [*processes.descendants_of(process.pid), process.pid]
                                if processes.is_alive(pid)])
        process.wait()


@contextmanager
def sending(python: Path, book: Journal, **channels: str) -> Iterator[subprocess.Popen]:
    book.add(Message("r1-1", "r1", "failure", "warning", "WARNING web1: not renewed", "Apache serves."), [*channels], 1)
    with started(python, _SETTLER, json.dumps({"state": str(book.directory), "channels": channels})) as process:
        yield process


def who_is_connected(server: Union[Webhook, Mailbox], below: subprocess.Popen) -> tuple[int, int]:
    """The owner of the socket at the other end, as the kernel says it, and the process that has it."""
    processes.wait_for(lambda: server.connections, 30.0, "nobody connected", give_up=lambda: below.poll() is not None)
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = row.split()
        if words[3] == "01" and words[2] == f"0100007F:{server.port:04X}":
            owner, inode = int(words[7]), words[9]
            for pid in processes.descendants_of(below.pid):
                for name in os.listdir(f"/proc/{pid}/fd"):
                    try:
                        if os.readlink(f"/proc/{pid}/fd/{name}") == f"socket:[{inode}]":
                            return owner, pid
                    except OSError:
                        continue
    raise AssertionError("the connection has no owner among those that were started")


def status_of(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: rest.split() for key, _, rest in (line.partition(":") for line in lines)}


def is_nobody_for_good(pid: int) -> None:
    user, group = unprivileged.nobody()
    said = status_of(pid)
    assert said["Uid"] == [str(user)] * 4 and said["Gid"] == [str(group)] * 4 and said["Groups"] == []
    assert said["CapPrm"] == said["CapEff"] == said["CapAmb"] == ["0" * 16] and said["NoNewPrivs"] == ["1"]
    limit = re.search(r"Max core file size\s+(\S+)\s+(\S+)", Path(f"/proc/{pid}/limits").read_text())
    assert limit and limit.groups() == ("0", "0")
    for name in ("mem", "environ", "maps"):
        assert not opens_as_nobody(f"/proc/{pid}/{name}"), f"another process of nobody's reads its {name}"


def opens_as_nobody(path: str) -> bool:
    code = "import os, sys; os.setgroups([]); os.setgid(%d); os.setuid(%d); open(sys.argv[1], 'rb').read(1)"
    user, group = unprivileged.nobody()
    done = subprocess.run(["/usr/bin/python3", "-I", "-c", code % (group, user), path], stderr=subprocess.PIPE, cwd="/")
    assert not done.returncode or b"PermissionError" in done.stderr, done.stderr
    return not done.returncode


def memory_of(pid: int) -> bytes:
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for row in Path(f"/proc/{pid}/maps").read_text().splitlines():
            where, rights = row.split()[:2]
            if rights.startswith("rw"):
                begin, end = (int(one, 16) for one in where.split("-"))
                memory.seek(begin)
                try:
                    found.append(memory.read(end - begin) or b"")
                except OSError:
                    continue
    return b"\n".join(found)


@NEEDS_ROOT
@pytest.mark.parametrize("channel, more", [("hook", "?rto=15"), ("mail", "&rto=15")])
def test_a_message_is_sent_by_nobody_for_good(python: Path, book: Journal, hook: Webhook, mail: Mailbox, channel: str,
                                              more: str) -> None:
    service = {"hook": hook, "mail": mail}[channel]
    service.hang()
    with sending(python, book, **{channel: service.url(more=more)}) as settler:
        owner, pid = who_is_connected(service, settler)
        assert owner == unprivileged.nobody()[0]
        is_nobody_for_good(pid)


@NEEDS_ROOT
def test_a_heartbeat_is_sent_by_nobody_for_good(python: Path, hook: Webhook) -> None:
    hook.hang()
    with started(python, _PINGER, f"http://127.0.0.1:{hook.port}/ping/{PING}") as process:
        owner, pid = who_is_connected(hook, process)
        assert owner == unprivileged.nobody()[0]
        is_nobody_for_good(pid)


@NEEDS_ROOT
def test_messages_and_pings_of_nobody_s_arrive(python: Path, book: Journal, hook: Webhook, mail: Mailbox) -> None:
    with sending(python, book, hook=hook.apprise_url, mail=mail.apprise_url) as settler:
        hook.wait(1), mail.wait(1)
        assert settler.wait(30) == 0 and book.channels_waiting() == []


def test_a_sender_has_the_url_and_the_files_of_its_own_channel_alone(python: Path, book: Journal, hook: Webhook,
                                                                    other: Webhook) -> None:
    """Looked at from outside, by whoever may: root, or the same user."""
    for one in (hook, other):
        one.hang()
    urls = {name: one.url(secret, "?rto=15") for name, one, secret in zip(("first", "second"), (hook, other), SECRETS)}
    with sending(python, book, **urls) as settler:
        for server, own, foreign in ((hook, *SECRETS), (other, *reversed(SECRETS))):
            _, pid = who_is_connected(server, settler)
            memory = memory_of(pid)
            assert own.encode() in memory and foreign.encode() not in memory
        files = {}
        for pid in (who_is_connected(hook, settler)[1], who_is_connected(other, settler)[1]):
            links = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
            files[pid] = {link for link in links if link.startswith(f"{book.directory}/")}
            assert len(files[pid]) == 2, "its outcomes and its lease"
            assert not any("pipe:" in link for link in links if link != os.readlink(f"/proc/{pid}/fd/0"))
        first, second = files.values()
        assert not first & second


# -- where it cannot be done -----------------------------------------------------------------------------------------


def asked(python: Path, before: str, environment: dict[str, str]) -> dict[str, object]:
    code = (f"import json, os, resource\nfrom certbot_guard import unprivileged\n{before}\n"
            "reason = unprivileged.give_up()\n"
            "status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines() if ':' in line)\n"
            "print(json.dumps({'reason': reason, 'uid': os.getresuid(), 'gid': os.getresgid(), 'groups': os.getgroups(),"
            " 'no_new': status['NoNewPrivs'].strip(), 'dumpable': ctypes_get(), 'core':"
            " resource.getrlimit(resource.RLIMIT_CORE)}))")
    head = "import ctypes\nctypes_get = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
    done = subprocess.run([python, "-I", "-c", head + code], env=environment, cwd="/", stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


@NEEDS_ROOT
def test_what_only_root_may_read_leaves_the_sender_root_and_says_what_it_is(python: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch(0o600)
    found = asked(python, "", {"SSL_CERT_FILE": str(bundle)})
    assert found["uid"] == [0, 0, 0] and found["gid"] == [0, 0, 0]
    assert found["reason"] == f"{bundle} cannot be read by the user nobody"
    assert found["no_new"] == "1" and found["dumpable"] == 0 and found["core"] == [0, 0]
    assert asked(python, "", {"SSL_CERT_FILE": "/nowhere/at/all"})["reason"] == "", "nobody lacks what is not there"


@NEEDS_ROOT
@pytest.mark.parametrize("capability", ["setuid", "setgid"])
def test_without_the_capability_the_sender_is_root_as_before_and_says_so(python: Path, capability: str) -> None:
    program = shutil.which("setpriv")
    if program is None:
        pytest.skip("there is no setpriv here, which takes capabilities away")
    code = "from certbot_guard import unprivileged as u; import os; print(u.give_up(), os.getresuid(), os.getresgid())"
    done = subprocess.run([program, f"--bounding-set=-{capability}", f"--inh-caps=-{capability}", python, "-I", "-c", code],
                          env={}, cwd="/", stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode().strip() == ("changing to the user nobody is refused: Operation not permitted "
                                            "(0, 0, 0) (0, 0, 0)")


@NEEDS_ROOT
def test_a_way_back_is_noticed(python: Path) -> None:
    """With the security bit no-setuid-fixup capabilities survive the change of user, as SecureBits= of a unit can have it."""
    found = asked(python, "ctypes.CDLL(None).prctl(28, 4, 0, 0, 0)", {})
    assert found["reason"] == "the user nobody may become root again here" and found["no_new"] == "1"


@NEEDS_ROOT
def test_it_cannot_be_attached_to_even_where_the_kernel_would_allow_it(python: Path) -> None:
    """As with fs.suid_dumpable = 1, which makes a process dumpable at each change of its user."""
    before = ("real = os.setresuid\n"
              "os.setresuid = lambda *ids: (real(*ids), ctypes.CDLL(None).prctl(4, 1, 0, 0, 0))")
    found = asked(python, before, {})
    assert found["reason"] == "" and found["uid"] == [unprivileged.nobody()[0]] * 3 and found["dumpable"] == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root has something to give up")
def test_whoever_is_not_root_stays_who_he_is_and_gets_no_more_rights() -> None:
    found = asked(Path(sys.executable), "", {})
    assert found["reason"] == "" and found["uid"] == [os.getuid()] * 3 and found["no_new"] == "1"


@NEEDS_ROOT
def test_who_would_send_is_found_out_and_nothing_is_sent(python: Path) -> None:
    code = "import sys; from certbot_guard import sender; s = sender.find(); print(s.user, s.root, s.reason)"
    done = subprocess.run([python, "-I", "-c", code], env={}, cwd="/", stdout=subprocess.PIPE, check=True)
    assert done.stdout.decode().split() == [pwd.getpwuid(unprivileged.nobody()[0]).pw_name, "False"]
    if not readable_python._readable(Path(os.__file__)):
        here = sender.find()
        assert here.root and os.__file__ in here.reason
