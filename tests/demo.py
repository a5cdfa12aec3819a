"""``script/demo``: the cron line of the story meets a CA that answers 503, and the same with the guard; a killed
certbot; and a renewal that succeeds, beside a plain cron line. Each line is measured in this very run.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time

from tests.support.certbot import program
from tests.support.context import Context, World
from tests.support.faulty_ca import STORY_503
from tests.support.visitors import Visitors

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


def machine(world: World) -> Context:
    """An Apache that includes a directory, as distributions have it, so that challenges can pass through it."""
    return Context(world, open_directory=True)


def visitors_of(context: Context) -> Visitors:
    return Visitors(context.apache.address, context.apache.http_port)


def seen_by(visitors: Visitors) -> str:
    return f"{len(visitors.failed)} failed requests, {visitors.answered} answered"


def the_cron_line(world: World) -> None:
    title("(a) The cron line of the story, and a CA that answers 503")
    context = machine(world)
    try:
        context.guarded_site("www.guard.test", guarded=False)
        context.ini.unlink()  # nothing of certbot-guard is set up on that machine
        apachectl = shlex.quote(context.apache.program)
        certbot = shlex.join([str(program()), "renew", "--force-renewal", "--quiet", *context.home.arguments])
        say("    apachectl graceful-stop && certbot renew --force-renewal && apachectl start")
        say(f"    before: Apache {state(context)}")
        with context.ca.answer("directory", STORY_503), visitors_of(context) as visitors:
            # The user's own line is a shell line, so it is run as cron would run it.
            done = subprocess.run(["/bin/sh", "-c", f"{apachectl} graceful-stop && {certbot} && {apachectl} start"],
                                  env=context.environment, cwd="/", stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=90, check=False)
            time.sleep(2)
        say(f"    after:  Apache {state(context)} (2 seconds later), exit code {done.returncode}, "
            f"messages sent: {len(context.mailbox.messages)}")
        say(f"    visitors: {seen_by(visitors)}")
        say("    It stays down until somebody looks. In the story that took 21 hours.")
    finally:
        context.close()


def with_the_guard(world: World) -> None:
    title("(b) The same with certbot-guard")
    context = machine(world)
    try:
        context.guarded_site("www.guard.test")
        say("    certbot renew --force-renewal --installer guard")
        say(f"    before: Apache {state(context)}")
        with context.ca.answer("directory", STORY_503), context.apache.watch() as outage, \
                visitors_of(context) as visitors:
            run = context.renew("--installer", "guard")
            context.mailbox.wait(1)
        say(f"    after:  Apache {state(context)}, it was away for {outage.total:.2f} s, exit code {run.returncode}, "
            f"messages sent: {len(context.mailbox.messages)}")
        say(f"    visitors: {seen_by(visitors)}")
        for mail in context.mailbox.messages:
            say("    The mail that arrived:")
            shown(f"Subject: {mail.subject}\n\n{mail.text}")
        context.wait_settled()
    finally:
        context.close()


def killed(world: World) -> None:
    title("(c) certbot gets SIGKILL in the middle of the challenge")
    for label, mode in (("Apache is stopped for it (mode = stop)", "stop"),
                        ("it passes through the running Apache (mode = auto, the default)", "auto")):
        context = machine(world)
        try:
            context.guarded_site("www.guard.test", server=f"mode = {mode}")
            with visitors_of(context) as visitors:
                run = context.kill_at("challenge", "--installer", "guard")
                context.apache.wait_serving()
                seconds = time.monotonic() - (run.killed_at or 0)
                context.mailbox.wait(1)
                arrived = time.monotonic() - (run.killed_at or 0)
                context.wait_settled()
            say(f"    {label}:")
            if mode == "stop":
                say(f"        Apache served again {seconds:.2f} s after the kill.")
            say(f"        visitors: {seen_by(visitors)}")
            say(f"        The mail was there {arrived:.2f} s after the kill:")
            shown(f"Subject: {context.mailbox.messages[0].subject}", "        | ")
        finally:
            context.close()


def succeeds(world: World) -> None:
    title("(d) A renewal of three certificates that succeeds: what did visitors notice?")
    names = [f"{word}.guard.test" for word in ("one", "two", "three")]
    for label, guarded in (("a plain cron line: stop, renew, start", False), ("certbot-guard", True)):
        context = machine(world)
        try:
            context.guarded_site(*names, guarded=guarded)
            certbot = ["--installer", "guard"] if guarded else []
            with context.apache.watch() as outage, visitors_of(context) as visitors:
                if not guarded:
                    context.apache.ctl("graceful-stop")
                    context.apache.wait_down()
                run = context.renew(*certbot, check=True)
                if not guarded:
                    context.apache.ctl("start")
                context.apache.wait_serving()
                context.wait_settled()
            renewed = sum(context.home.version(name) == 2 for name in names)
            say(f"    {label:38} {renewed} of 3 renewed, exit code {run.returncode}; Apache was away for "
                f"{outage.total:.2f} s; messages: {len(context.mailbox.messages)}")
            say(f"    {'':38} visitors: {seen_by(visitors)}")
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
