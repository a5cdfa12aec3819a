"""``script/demo``: the cron line of the story meets a CA that answers 503, and the same with the guard; a killed certbot;
and a renewal that succeeds, beside certbot's own hooks. Each line is measured in this very run.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time

from tests.support.certbot import program
from tests.support.context import Context, World
from tests.support.faulty_ca import STORY_503

WIDTH = 96


def say(text: str = "") -> None:
    print(text, flush=True)


def title(text: str) -> None:
    say()
    say("-" * WIDTH)
    say(text)
    say("-" * WIDTH)


def shown(text: str, indent: str = "    | ") -> None:
    for line in text.rstrip().splitlines():
        say(indent + line)


def state(context: Context) -> str:
    return "serves" if context.apache.serving() else "is DOWN"


def the_cron_line(world: World) -> None:
    title("(a) The cron line of the story, and a CA that answers 503")
    context = Context(world)
    try:
        context.guarded_site("www.guard.test", guarded=False)
        context.ini.unlink()  # nothing of certbot-guard is set up on that machine
        apachectl = shlex.quote(context.apache.program)
        certbot = shlex.join([str(program()), "renew", "--force-renewal", "--quiet", *context.home.arguments])
        say("    apachectl graceful-stop && certbot renew --force-renewal && apachectl start")
        say(f"    before: Apache {state(context)}")
        with context.ca.answer("directory", STORY_503):
            # The user's own line is a shell line, so it is run as cron would run it.
            done = subprocess.run(["/bin/sh", "-c", f"{apachectl} graceful-stop && {certbot} && {apachectl} start"],
                                  env=context.environment, cwd="/", stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=90, check=False)
        time.sleep(2)
        say(f"    after:  Apache {state(context)} (2 seconds later), exit code {done.returncode}, "
            f"messages sent: {len(context.mailbox.messages)}")
        say("    It stays down until somebody looks. In the story that took 21 hours.")
    finally:
        context.close()


def with_the_guard(world: World) -> None:
    title("(b) The same with certbot-guard")
    context = Context(world)
    try:
        context.guarded_site("www.guard.test")
        say("    certbot renew --force-renewal --installer guard")
        say(f"    before: Apache {state(context)}")
        with context.ca.answer("directory", STORY_503), context.apache.watch() as outage:
            run = context.renew("--installer", "guard")
            context.mailbox.wait(1)
        say(f"    after:  Apache {state(context)}, it was away for {outage.total:.2f} s, exit code {run.returncode}, "
            f"messages sent: {len(context.mailbox.messages)}")
        for mail in context.mailbox.messages:
            say("    The mail that arrived:")
            shown(f"Subject: {mail.subject}\n\n{mail.text}")
        context.wait_settled()
    finally:
        context.close()


def killed(world: World) -> None:
    title("(c) certbot gets SIGKILL in the middle of the challenge, while Apache is stopped")
    context = Context(world)
    try:
        context.guarded_site("www.guard.test")
        run = context.kill_at("challenge", "--installer", "guard")
        context.apache.wait_serving()
        seconds = time.monotonic() - (run.killed_at or 0)
        say(f"    Apache served again {seconds:.2f} s after the kill.")
        context.mailbox.wait(1)
        say(f"    The mail was there {time.monotonic() - (run.killed_at or 0):.2f} s after the kill:")
        shown(f"Subject: {context.mailbox.messages[0].subject}")
        context.wait_settled()
    finally:
        context.close()


def succeeds(world: World) -> None:
    title("(d) A renewal of three certificates that succeeds: for how long was Apache away?")
    names = [f"{word}.guard.test" for word in ("one", "two", "three")]
    for label, guarded in (("certbot's own --pre-hook and --post-hook", False), ("certbot-guard", True)):
        context = Context(world)
        try:
            context.guarded_site(*names, guarded=guarded)
            apachectl = context.apache.program
            hooks = ["--pre-hook", f"{apachectl} graceful-stop", "--post-hook", f"{apachectl} start"]
            with context.apache.watch() as outage:
                run = context.renew(*(["--installer", "guard"] if guarded else hooks), check=True)
                context.apache.wait_serving()
            renewed = sum(context.home.version(name) == 2 for name in names)
            say(f"    {label:42} {renewed} of 3 renewed, exit code {run.returncode}; longest outage "
                f"{outage.longest:.2f} s, {len(outage.durations)} in all; messages: {len(context.mailbox.messages)}")
            context.wait_settled()
        finally:
            context.close()


def main() -> int:
    say("certbot-guard: real certbot, real Apache, a real ACME server (Pebble) and a real mailbox, all on loopback.")
    world = World()
    try:
        for part in (the_cron_line, with_the_guard, killed, succeeds):
            part(world)
    finally:
        world.close()
    title("Done. Everything that was started for this has been stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
