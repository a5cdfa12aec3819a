"""A program for which the places where state is kept when no settings say where are this test's own."""

from __future__ import annotations

import pytest

from tests.support.certbot import Certbot
from tests.support.context import Context

PLACES = ("/var/lib/certbot-guard", "/run/certbot-guard")
# In a mount namespace of its own. The machine's /var/lib is seen through an overlay, so a mount point that has to be
# made there is gone with the namespace; without /run/systemd the machine's own Apache is not found.
_SCRIPT = """
own=$1; shift
mount -t tmpfs none /run/systemd 2>/dev/null || :
mount -t tmpfs none "$own/over" && mkdir "$own/over/up" "$own/over/work" &&
mount -t overlay -o "lowerdir=/var/lib,upperdir=$own/over/up,workdir=$own/over/work" none /var/lib || exit 99
for place in {}; do
    mkdir -p -m 700 "$place" && mount --bind "$own$place" "$place" || exit 99
done
exec "$@"
""".format(" ".join(PLACES))


def run(context: Context, *arguments: str, timeout: float = 90.0) -> Certbot:
    """It has ended; ``context.state`` is what it saw as /var/lib/certbot-guard. Skips the test where that cannot be."""
    own = context.directory / "apart"
    for part in ("over", *PLACES):
        (own / part.lstrip("/")).mkdir(parents=True, mode=0o700, exist_ok=True)
    context.state = own / PLACES[0].lstrip("/")
    done = context._run(["unshare", "-m", "sh", "-c", _SCRIPT, "sh", str(own), *arguments], False, None, "/", True,
                        timeout)
    if done.returncode == 99 or "unshare:" in done.output:
        pytest.skip("no mount namespaces, or no overlay, here")
    return done
