"""Messages as people get them: one of each kind, for the tests of how services show them and for the pictures."""

# ruff: noqa: E501
from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    """A message. ``event`` and ``severity`` as in :class:`certbot_guard.message.Message`."""

    title: str
    body: str
    severity: str
    event: str


_FOOT = """Log: /var/log/letsencrypt/letsencrypt.log on web1
Command: certbot renew --quiet
Started: 2026-11-24T04:15:00+00:00; certbot 5.8.0, certbot-guard 0.1.0; id 20261124T041500Z-0000abcd-4"""

OUTAGE_OF_THE_CA = Sample(
    "WARNING web1: Apache serves, example.com was not renewed (29 days left)",
    f"""Apache serves. It was not stopped in this run.

Not renewed: example.com (example.com, www.example.com)
Why: The CA (acme-v02.api.letsencrypt.org) answered HTTP 503 to the first request. The trouble is the CA's and passes by itself.
It means: the certificate is good for 29 more days, until 2026-12-23 04:15 UTC.
What to do: Nothing now. https://letsencrypt.status.io/ says what the CA knows of it.
Next attempt: 2026-11-24 16:17 UTC, in 12 hours (certbot.timer).
Error: urn:ietf:params:acme:error:serverInternal
  The service is down for maintenance or had an internal error.

{_FOOT}

Details
The last lines of the log:
  | 2026-11-24 04:15:01,312:DEBUG:acme.client:Sending GET request to https://acme-v02.api.letsencrypt.org/directory.
  | 2026-11-24 04:15:01,803:DEBUG:acme.client:Received response: HTTP 503
  | 2026-11-24 04:15:01,804:ERROR:certbot._internal.renewal:Failed to renew certificate example.com""",
    "warning", "failure")

DOWN = Sample(
    "CRITICAL web1: Apache is DOWN, example.com was not renewed (29 days left)",
    f"""Apache is DOWN since 04:15 UTC. It was stopped for a renewal and does not start again.

Not started: Apache on web1 (3 attempts, the last at 04:17 UTC)
Why: Certificate and key in /etc/letsencrypt/live/shop_old.example.com do not fit each other.
What to do: Take the virtual host *.shop_old.example.com out, or give it a key that fits. certbot-guard tries again every minute.
Error: AH02565: Certificate and private key do not match
  | AH02565: Certificate and private key *.shop_old.example.com:443:0 from shop_old.pem and shop_old.key do not match
  | AH00016: Configuration Failed

Not renewed: example.com (example.com, www.example.com)
Why: The server (203.0.113.7) answered 404 instead of the challenge's answer.
It means: the certificate is good for 29 more days, until 2026-12-23 04:15 UTC.
What to do: Look whether example.com leads to this host. https://letsencrypt.org/docs/challenge-types/ says what is asked.

{_FOOT}""",
    "critical", "outage")

RECOVERY = Sample(
    "OK web1: Apache serves again, after 4 minutes",
    f"""Apache serves. It did not from 04:15 to 04:19 UTC, for 4 minutes.

Renewed: example.com (example.com, www.example.com)
It means: the certificate is good for 90 days, until 2027-02-22 04:19 UTC.
What to do: Nothing.

{_FOOT}""",
    "info", "recovery")

DIGEST = Sample(
    "WARNING web1: Apache serves, 12 certificates were not renewed (6 days left)",
    f"""Apache serves. It was stopped twice in this run, for 1.1 s each time.

Not renewed: 9 certificates, same cause: {", ".join(f"shop{number}.example.com" for number in range(1, 9))} and 1 more
Why: The CA says that too many certificates were issued for example.com in the last 168 hours.
It means: the first of them (shop3.example.com) expires in 6 days, on 2026-11-30 04:15 UTC.
What to do: Nothing now, the limit passes. https://letsencrypt.org/docs/rate-limits/ explains it.
Next attempt: 2026-11-24 16:17 UTC, in 12 hours (certbot.timer).
Error: urn:ietf:params:acme:error:rateLimited
  too many certificates (50) already issued for "example.com" in the last 168h0m0s, retry after 2026-11-26 07:00:00 UTC

Not renewed: 3 certificates, same cause: _intern.example.org, *.example.org, blog.example.net
Why: DNS has no TXT record _acme-challenge.example.org.
It means: the first of them (blog.example.net) expires in 21 days, on 2026-12-15 04:15 UTC.
What to do: Look at the DNS credentials in /etc/letsencrypt/dns.ini: the record was not made.
Next attempt: 2026-11-24 16:17 UTC, in 12 hours (certbot.timer).

{_FOOT}

Details
{chr(10).join(f"shop{number}.example.com: 2026-12-{number + 3:02} 04:15 UTC" for number in range(1, 10))}

The last lines of the log:
  | 2026-11-24 04:15:01,803:DEBUG:acme.client:Received response: HTTP 429""",
    "warning", "failure")

ALL = {"outage-of-the-ca": OUTAGE_OF_THE_CA, "down": DOWN, "recovery": RECOVERY, "digest": DIGEST}
