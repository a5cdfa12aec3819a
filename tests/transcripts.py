"""``script/transcripts``: certbot-guard tried as a new user would, typed into a terminal, and kept word by word in docs/transcripts.

Each stage is a machine of its own for as long as it lasts: an overlay of this one, with a network of its own, where port 80 is
free and nothing of certbot has ever been. ``python`` has no systemd, ``systemd`` has this machine's, with Debian's apache2.service.
What is there before the first command: Debian's apache2 with its own site, a CA (Pebble) and a mail server on loopback. The CA's
certificate is made known by an environment variable, and pip finds its packages in a directory, since there is no internet inside.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Optional

CHECKOUT = Path(__file__).resolve().parent.parent
SUPPORT = CHECKOUT / "tests" / "support"
BEGIN, END = "-----BEGIN TRANSCRIPT-----", "-----END TRANSCRIPT-----"
PASSWORD = "p%40ss #1 :/?@home"  # a person's: what a URL would be torn by
NAME = "www.example.com"



def main(arguments: list[str]) -> int:
    if arguments[:1] == ["inside"]:
        return inside(arguments[1], Path(arguments[2]))
    for program in ("tmux", "cron", "pebble", "apache2ctl"):
        if shutil.which(program) is None:
            print(f"transcripts: install {program} first", file=sys.stderr)
            return 1
    directory = Path(arguments[0] if arguments else CHECKOUT / "docs" / "transcripts")
    directory.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="guard-transcripts-", dir="/var/lib"))
    try:
        wheels = packages(work)
        for stage, start in (("python", [str(SUPPORT / "clean-root")]), ("systemd", in_a_box(work))):
            (directory / f"{stage}.md").write_text(play(stage, start, wheels), "utf-8")
            print(f"transcripts: {directory / stage}.md", flush=True)
    finally:
        if (work / "box").exists():
            subprocess.run([str(SUPPORT / "systemd-box"), "stop", str(work / "box")], check=False, timeout=60)
        subprocess.run(["rm", "-rf", "--one-file-system", str(work)], check=False)
    return 0


def packages(work: Path) -> Path:
    """What pip would fetch from the internet, in a directory; certbot-guard as it is in this checkout."""
    wheels = work / "wheels"
    python = "/usr/bin/python3"
    subprocess.run([python, "-m", "venv", str(work / "venv")], check=True, timeout=120)
    pip = [str(work / "venv" / "bin" / "pip"), "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--wheel-dir", str(wheels), str(CHECKOUT), "certbot", "setuptools", "wheel"],
                   check=True, timeout=600, env={**os.environ, "PIP_PROGRESS_BAR": "off"})
    return wheels


def in_a_box(work: Path) -> list[str]:
    box = SUPPORT / "systemd-box"
    (work / "box").mkdir()
    subprocess.run([str(box), "start", str(work / "box"), "apache2.service", "cron.service"], check=True, timeout=120)
    return [str(box), "run", str(work / "box")]


def play(stage: str, start: list[str], wheels: Path) -> str:
    words = [*start, "env", "-C", str(CHECKOUT), "PYTHONDONTWRITEBYTECODE=1", sys.executable, "-m", "tests.transcripts",
             "inside", stage, str(wheels)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200, check=False)
    if done.returncode or BEGIN not in done.stdout:
        raise SystemExit(f"transcripts: the stage {stage} failed:\n{done.stdout[-8000:]}")
    return done.stdout.partition(BEGIN + "\n")[2].partition(END)[0]


# -- inside ------------------------------------------------------------------------------------------------------------


def inside(stage: str, wheels: Path) -> int:
    """Set the stage, play, print the page. Everything ends with the machine."""
    from tests.support.authority import Authority
    from tests.support.ca import Pebble
    from tests.support.mailbox import Mailbox
    from tests.support.screen import Screen

    subprocess.run(["hostname", "www"], check=True, timeout=10)
    authority = Authority()
    place = Path("/srv/stage")
    place.mkdir(mode=0o755)
    ca = Pebble(place / "ca", http_port=80, authority=authority)
    mailbox = Mailbox(login=("guard@example.com", PASSWORD), port=25)
    Path("/etc/letsencrypt").mkdir(exist_ok=True)
    Path("/etc/letsencrypt/cli.ini").write_text(f"server = {ca.directory_url}\n")
    if stage == "python":
        subprocess.run(["cron"], check=True, timeout=30)
        subprocess.run(["apache2ctl", "start"], check=True, timeout=30, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    screen = Screen(place, {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
        "REQUESTS_CA_BUNDLE": str(ca.ca_bundle), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"})
    began = time.monotonic()
    acts: list[tuple[str, str]] = []
    try:
        for heading, command, answers in script(stage):
            acts.append((heading, screen.run(command, answers)))
        mails = [f"Subject: {mail.subject}\n\n{mail.text}" for mail in mailbox.messages]
    finally:
        whole = screen.text()
        screen.close()
        ca.close()
        mailbox.close()
    assert PASSWORD not in whole, "the password is on the screen"
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(BEGIN)
    print(page(stage, acts, screen.times, mails, f"{minutes} min {seconds} s"))
    print(END)
    return 0


def script(stage: str) -> list[tuple[str, str, Optional[list[tuple[str, str]]]]]:
    """What the person does: why, the command, and what is answered."""
    install = "python3 -m venv /opt/certbot && /opt/certbot/bin/pip install --quiet certbot"
    obtain = (f"/opt/certbot/bin/certbot certonly --quiet --standalone -d {NAME} --agree-tos "
              "--register-unsafely-without-email --pre-hook 'apachectl graceful-stop' --post-hook 'apachectl start'")
    line = "0 4 1 * * apachectl graceful-stop && /opt/certbot/bin/certbot renew --force-renewal && apachectl start"
    setup: list[tuple[str, str]] = [
        (r"nothing for no more:", "email"), (r"Its name in guard.ini \[email\]:", ""),
        (r"SMTP server.*:", "127.0.0.1"), (r"Security.*:", "plain"), (r"Port.*:", ""),
        (r"User name.*:", "guard@example.com"), (r"Password \(not shown\):", "wrong"), (r"From which address.*:", ""),
        (r"To which addresses.*:", "ops@example.com"), (r"nothing for no more:", ""), (r"Write it\?.*:", ""),
        (r"Send a test message to email\?.*:", ""), (r"What about email\?.*:", "change"),
        (r"SMTP server.*:", ""), (r"Security.*:", ""), (r"Port.*:", ""), (r"User name.*:", ""),
        (r"Password.*:", PASSWORD), (r"From which address.*:", ""), (r"To which addresses.*:", ""),
        (r"Write it\?.*:", ""), (r"Did it arrive at email\?.*:", ""), (r"Take them out\?.*:", "y"),
        (r"Write this into the renewal configurations\?.*:", ""), (r"Write and start them\?.*:", ""),
        (r"renew --dry-run.*\?.*:", "y"),
    ]
    mended = ("0 4,16 * * * /opt/certbot/bin/certbot-guard run --retry-for 6h -- /opt/certbot/bin/certbot renew "
              "--quiet")
    guard = "/opt/certbot/bin/certbot-guard"
    return [("A certificate, as one has it without certbot-guard", install, None),
            ("", obtain, None),
            ("The line of the story, in root's crontab", f"echo '{line}' | crontab -", None),
            ("certbot-guard, beside certbot", "/opt/certbot/bin/pip install --quiet certbot-guard", None),
            ("Setting it up; the first password is a wrong one", f"{guard} setup", setup),
            ("The line that setup said to put instead", f"echo '{mended}' | crontab -", None),
            ("Is anything still wrong?", f"{guard} doctor", None),
            ("A guarded renewal", "/opt/certbot/bin/certbot renew --force-renewal --no-random-sleep-on-renew", None),
            ("How it stands", f"{guard} status", None),
            ("", f"{guard} history", None)]


def page(stage: str, acts: list[tuple[str, str]], times: list[tuple[str, float]], mails: list[str], took: str) -> str:
    where = ("a machine without systemd, Debian's apache2" if stage == "python"
             else "a machine under systemd, Debian's apache2.service")
    said = [f"# From nothing to a guarded renewal: {where}", "",
            "Written by `script/transcripts`, which types this into a terminal and keeps what it shows. "
            f"All of it took {took}; what a person reads and thinks takes longer.", "",
            "There is no internet on that machine: pip takes its packages from a directory, certbot-guard among them as "
            "it is here, the CA is a Pebble on loopback, and so is the mail server, which wants a login.", ""]
    for (heading, shown), (_, seconds) in zip(acts, times):
        said += [f"## {heading}", ""] if heading else []
        said += ["```", "# " + clean(shown), "```", "", f"{seconds:.1f} s.", ""]
    said += ["## The mails that arrived", ""]
    for mail in mails:
        said += ["```", mail.rstrip(), "```", ""]
    return "\n".join(said)


def clean(shown: str) -> str:
    return re.sub(r"\nroot@www:~#\s*$", "", shown).strip("\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
