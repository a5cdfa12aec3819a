"""What is tested inside a box that dies in a challenge and boots again: before the power cut, and after it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.support.context import World, wait_for
from tests.support.mailbox import Mailbox
from tests.systemd.debian import (
    ETC,
    FILE,
    ONE,
    UNIT,
    DebianUnit,
    certbots_unit,
    guarded,
    start_certbot,
    systemctl,
    with_apache,
)

# What the two halves have in common: the guard's directory, and Apache's port.
PLACE, READY, SEEN = Path("/srv/crash"), Path("/srv/crash/ready"), Path("/srv/crash/seen")
RECOVER = "certbot-guard-recover.service"
MAIL_PORT = 2525


def test_before(world: World) -> None:
    """Ends only with the machine."""
    context = with_apache(world, DebianUnit)
    PLACE.mkdir()
    context.mailbox.close()
    context.guard_ini(server="control = auto", channels={
        "mail": f"mailto://127.0.0.1:{MAIL_PORT}?from=guard@guard.test&to=ops@guard.test"})
    ini = context.ini.read_bytes()
    guarded(context)
    context.ini.write_bytes(ini)
    context.guard("units", "install", "--yes", check=True)
    # Before the boot unit is at it, somebody looks: Apache serves, with the file there, and hands nothing over.
    drop_in = Path(f"/etc/systemd/system/{RECOVER}.d/look.conf")
    drop_in.parent.mkdir()
    script = PLACE / "look"
    script.write_text(
        "#!/bin/bash\n"
        f"exec >{SEEN} 2>&1\n"
        f"systemctl is-active {UNIT}; head -1 {FILE}\n"
        f"for path in index.html .well-known/acme-challenge/abc; do\n"
        f"  exec 3<>/dev/tcp/127.0.0.1/{world.http_port}\n"
        f"  printf 'GET /%s HTTP/1.0\\r\\nHost: {ONE}\\r\\n\\r\\n' $path >&3; head -1 <&3; exec 3>&-\n"
        "done\n")
    script.chmod(0o755)
    drop_in.write_text(f"[Service]\nExecStartPre={script}\n")
    systemctl("daemon-reload")
    systemctl("enable", UNIT)
    certbots_unit(context)
    with context.ca.hold("challenge", times=1) as held:
        start_certbot()
        held.wait()
        assert FILE.exists()
        (PLACE / "ini").write_text(str(context.ini))
        subprocess.run(["sync", "-f", "/srv"], check=True, timeout=60)
        READY.touch()
        time.sleep(3600)


def test_after() -> None:
    ini = (PLACE / "ini").read_text()
    wait_for(lambda: systemctl("is-active", RECOVER, check=False) == "inactive" and SEEN.exists(), 60, "the boot unit")
    active, first, index, challenge = SEEN.read_text().splitlines()
    assert active == "active" and first.startswith("# certbot-guard wrote this")
    # The page of Apache's own first virtual host has no name like this one's: whatever it is, it is Apache's answer.
    assert index.split()[1] in ("200", "403", "404") and challenge.split()[1] == "404"
    assert systemctl("show", "-P", "Result", RECOVER) == "success"
    assert not [path for path in ETC.rglob("*certbot-guard*")]
    assert systemctl("is-active", UNIT) == "active" and systemctl("show", "-P", "NRestarts", UNIT) == "0"
    mailbox = Mailbox(port=MAIL_PORT)
    try:
        for _ in range(2):
            done = subprocess.run([Path(sys.executable).parent / "certbot-guard", "--config", ini, "outbox", "flush"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60)
        mail, = mailbox.stays_at(1, seconds=0.3)
        assert ONE in mail.subject + mail.text and "not stopped in this run" in mail.text, done.stdout
    finally:
        mailbox.close()
