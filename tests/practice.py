"""``script/practice``: a machine to practise on, as docs/tutorial.md wants it; and the tutorial, played on it.

The machine is an overlay of this one, with a network of its own, for as long as it lasts: Debian's Apache with its own
site on port 80, a CA (Pebble) that can be told to answer as it did in the story, and a mail server; nothing of certbot
has ever been there. Four programs belong to it: ``ca``, ``visit``, ``mails`` and ``kill-in-the-middle``. pip finds its
packages in a directory, since there is no internet inside.

    python -m tests.practice                a shell there, until ``exit``
    python -m tests.practice write PAGE     the page's commands are run there, and what they said is written into it
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Callable, Optional

CHECKOUT = Path(__file__).resolve().parent.parent
TUTORIAL = CHECKOUT / "docs" / "tutorial.md"
PLACE = Path("/srv/practice")
PROMPT = "root@www:~# "
PATH = "/opt/certbot/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WIDTH, PATIENCE_SECONDS = 100, 120
BEGIN, END = "-----BEGIN PAGE-----", "-----END PAGE-----"
_BLOCK = re.compile(r"```console\n(.*?)```\n", re.DOTALL)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["inside"]:
        return inside(Path(arguments[1]), Path(arguments[2]) if arguments[2:] else None)
    missing = [name for name in ("pebble", "apache2ctl", "unshare", "ip") if shutil.which(name) is None]
    if missing or os.geteuid():
        reason = "run it as root" if os.geteuid() else f"install first: {', '.join(missing)}"
        print(f"practice: {reason}", file=sys.stderr)
        return 77
    work = Path(tempfile.mkdtemp(prefix="certbot-guard-practice-", dir="/var/lib"))  # /tmp is another one inside
    try:
        wheels = packages(work)
        words = [str(CHECKOUT / "tests/support/clean-root"), "env", "-C", str(CHECKOUT), "PYTHONDONTWRITEBYTECODE=1",
                 f"TERM={os.environ.get('TERM', 'dumb')}", sys.executable, "-m", "tests.practice", "inside",
                 str(wheels)]
        if arguments[:1] != ["write"]:
            return subprocess.run(words, check=False).returncode
        page = Path(arguments[1]) if arguments[1:] else TUTORIAL
        copy = Path(shutil.copy(page, work / "page.md"))  # where it is seen inside, too
        page.write_text(play(copy, words), "utf-8")
        return 0
    finally:
        shutil.rmtree(work, ignore_errors=True)


def play(page: Path, words: list[str]) -> str:
    """The page as its commands say it now."""
    done = subprocess.run([*words, str(page)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900,
                          check=False)
    if done.returncode or BEGIN not in done.stdout:
        raise SystemExit(f"practice: {page} cannot be played:\n{done.stdout[-4000:]}")
    return done.stdout.partition(BEGIN + "\n")[2].partition("\n" + END)[0]


def packages(work: Path) -> Path:
    """What pip would fetch from the internet, in a directory; certbot-guard as it is in this checkout."""
    # For the Python that makes environments inside; built from a copy, since a build writes into its source.
    pip = [sys.executable, "-m", "pip", "--python", "/usr/bin/python3", "--quiet", "--disable-pip-version-check",
           "wheel", "--wheel-dir", str(work / "wheels")]
    source = work / "source"
    shutil.copytree(CHECKOUT, source, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__"))
    done = subprocess.run([*pip, str(source), "certbot"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"practice: pip cannot get the packages:\n{done.stdout[-3000:]}")
    return work / "wheels"


# -- inside ------------------------------------------------------------------------------------------------------------


def inside(wheels: Path, page: Optional[Path]) -> int:
    """Set the stage; then a shell for a person, or the page's commands. Everything ends with the machine."""
    PLACE.mkdir(mode=0o755)
    stage = Stage()
    try:
        subprocess.run(["apache2ctl", "start"], check=True, timeout=30, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        environment = {
            "PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "REQUESTS_CA_BUNDLE": str(stage.ca.ca_bundle),
            "TERM": os.environ.get("TERM", "dumb"), "PS1": PROMPT, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
        shell = ["bash", "--norc", "--noprofile", "-i"]
        if page is None:
            print("A machine to practise on; 'exit' leaves it, and nothing of it stays. See docs/tutorial.md.")
            return subprocess.run(shell, env=environment, cwd="/root", check=False).returncode
        print(BEGIN)
        print(played(page.read_text("utf-8"), Terminal(shell, environment).run))
        print(END)
        return 0
    finally:
        stage.close()


class Stage:
    """The CA, the mail server, and the four programs that ask them for something over a socket."""

    def __init__(self) -> None:
        from tests.support.authority import Authority
        from tests.support.ca import Pebble
        from tests.support.faulty_ca import FaultyCA
        from tests.support.mailbox import Mailbox

        self.pebble = Pebble(PLACE / "ca", http_port=80, authority=Authority())
        self.ca = FaultyCA(self.pebble)
        self.mailbox = Mailbox(port=25)
        self._read = 0
        Path("/etc/letsencrypt").mkdir(exist_ok=True)
        Path("/etc/letsencrypt/cli.ini").write_text(f"server = {self.ca.directory_url}\n")
        Path("/etc/cron.d").mkdir(exist_ok=True)
        Path("/etc/apache2/conf-enabled/name.conf").write_text("ServerName www.example.com\n")
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(PLACE / "stage"))
        self._server.listen()
        for name in ("ca", "visit", "mails", "kill-in-the-middle"):
            program = Path("/usr/local/bin") / name
            program.write_text(_PROGRAM.format(python=sys.executable, place=PLACE / "stage", name=name))
            program.chmod(0o755)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self._server.accept()
            with client:
                name, *words = client.recv(4096).decode().split("\0")
                try:
                    said = {"ca": self._ca, "visit": self._visit, "mails": self._mails,
                            "kill-in-the-middle": self._kill}[name](*words)
                except Exception as error:
                    said = f"{name}: {error}"
                client.sendall(said.encode())

    def _ca(self, how: str = "") -> str:
        from tests.support.faulty_ca import STORY_503

        if how not in ("503", "works"):
            return "usage: ca 503 | ca works"
        self.ca.clear()
        if how == "503":
            self.ca.answer("directory", STORY_503)
            return "The CA answers 503 from now on, word for word as it did on 2018-12-01."
        return "The CA works."

    def _visit(self) -> str:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=5)
        try:
            connection.request("GET", "/", headers={"Host": "www.example.com"})
            return f"http://www.example.com/ answers: {connection.getresponse().status}"
        except OSError as error:
            return f"http://www.example.com/ does not answer: {os.strerror(error.errno or 0)}"
        finally:
            connection.close()

    def _mails(self) -> str:
        from tests.support.mailbox import Mail

        deadline = time.monotonic() + 3
        while len(self.mailbox.messages) == self._read and time.monotonic() < deadline:
            time.sleep(0.1)  # one may be on its way
        new: list[Mail] = self.mailbox.messages[self._read:]
        self._read += len(new)
        return "\n\n".join(f"Subject: {mail.subject}\n\n{mail.text.rstrip()}" for mail in new) or "No new mail."

    def _kill(self) -> str:
        """certbot and its sentinel are gone in the same moment, while Apache is stopped."""
        from tests.support import processes

        with self.ca.hold("challenge", times=1) as held:
            words = ["certbot", "renew", "--force-renewal", "--guard-mode", "stop", "--no-random-sleep-on-renew"]
            environment = {"PATH": PATH, "HOME": "/root", "REQUESTS_CA_BUNDLE": str(self.ca.ca_bundle)}
            run = subprocess.Popen([f"/opt/certbot/bin/{words[0]}", *words[1:]], env=environment, cwd="/",
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            held.wait()
            for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
                if "certbot_guard.sentinel" in processes.arguments_of(pid):
                    os.kill(pid, signal.SIGKILL)
            run.kill()
            run.wait()
        return (f"{' '.join(words)}\nApache is stopped, the CA looks for the answer ... certbot and its sentinel are "
                "killed.")

    def close(self) -> None:
        self._server.close()
        self.ca.close()
        self.pebble.close()
        self.mailbox.close()


_PROGRAM = """#!{python} -I
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect("{place}")
client.sendall("\\0".join(["{name}", *sys.argv[1:]]).encode())
client.shutdown(socket.SHUT_WR)
while True:
    part = client.recv(65536)
    if not part:
        break
    sys.stdout.buffer.write(part)
print()
"""


# -- the page ----------------------------------------------------------------------------------------------------------


def commands(page: str) -> list[str]:
    """What is typed, in the order of the page: each line that begins with the prompt."""
    return [line[2:] for block in _BLOCK.findall(page) for line in block.splitlines() if line.startswith("# ")]


def played(page: str, run: Callable[[str], str]) -> str:
    """The page, with what each command says now below it."""
    def block(found: re.Match[str]) -> str:
        said = [f"# {command}\n{run(command) if command != 'exit' else ''}" for command in commands(found.group(0))]
        return f"```console\n{''.join(said)}```\n"

    return _BLOCK.sub(block, page)


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, shell: list[str], environment: dict[str, str]) -> None:
        pid, self._terminal = pty.fork()
        if pid == 0:
            os.chdir("/root")
            os.execvpe(shell[0], shell, {**environment, "TERM": "dumb", "COLUMNS": str(WIDTH)})
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, WIDTH, 0, 0))
        self._until_prompt()
        self.run("stty -echo; bind 'set enable-bracketed-paste off'")

    def run(self, command: str) -> str:
        """Type it; returns what it wrote until the prompt came again."""
        os.write(self._terminal, command.encode() + b"\n")
        said = self._until_prompt()
        lines = [line.rstrip() for line in said.replace("\r", "").split("\n")]
        return "\n".join(lines).strip("\n") + "\n" if any(lines) else ""

    def _until_prompt(self) -> str:
        said, deadline = b"", time.monotonic() + PATIENCE_SECONDS
        while not said.endswith(PROMPT.encode()):
            if time.monotonic() > deadline:
                shown = said.decode("utf-8", "replace")[-3000:]
                raise SystemExit(f"practice: no prompt in {PATIENCE_SECONDS} s:\n{shown}")
            said += os.read(self._terminal, 65536)
        text = said[:-len(PROMPT)].decode("utf-8", "replace")
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]", "", text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
