"""A telephone that rings or shows a notice: ntfy, Gotify, Pushover, Signal, SMS by Twilio, PagerDuty, Opsgenie."""

from __future__ import annotations

from collections.abc import Mapping

from certbot_guard.services import answers as say
from certbot_guard.services.service import Question, Service
from certbot_guard.services.web import login, login_questions, place, server_question


def _ntfy_url(found: Mapping[str, str]) -> str:
    secure, where = place(found["server"])
    # private: ntfy.sh is a server like any other, and Apprise does not guess at what the host is.
    more = {"mode": "private", "auth": "token" if found["token"] else "", "token": say.twice(found["token"])}
    return (f"{'ntfys' if secure else 'ntfy'}://{login(found)}{where}/{found['topic']}"
            + say.query(more))


_NTFY = Service(
    "ntfy", "ntfy",
    "Choose a topic that nobody guesses and subscribe to it in the app; on a server with access control make a token "
    "(ntfy token add) or take a user and password.",
    (server_question("https://ntfy.sh", path=False),
     Question("topic", "Topic", say.matching("[A-Za-z0-9_-]{1,64}", "a topic of letters, digits, - and _"),
              secret=True),
     Question("token", "Access token (tk_...); empty if there is none", say.matching(
         "tk_[A-Za-z0-9]{10,60}", "the access token, which begins with tk_"), secret=True, optional=True),
     *login_questions(lambda found: not found.get("token"))),
    _ntfy_url)


def _gotify_url(found: Mapping[str, str]) -> str:
    secure, where = place(found["server"])
    return f"{'gotifys' if secure else 'gotify'}://{where}/{found['token']}"


_GOTIFY = Service(
    "gotify", "Gotify", "In Gotify's web page: Apps, Create Application; copy its token.",
    (server_question(),
     Question("token", "The application's token", say.matching(
         r"[A-Za-z0-9._-]{5,100}", "the application's token as Gotify shows it"), secret=True)),
    _gotify_url)

_PUSHOVER = Service(
    "pushover", "Pushover",
    "The user key is on https://pushover.net after logging in; make an application there for the API token.",
    (Question("user", "User or group key, 30 letters and digits", say.matching(
        "[A-Za-z0-9]{30}", "the key of 30 letters and digits"), secret=True),
     Question("token", "The application's API token, 30 letters and digits", say.matching(
         "[A-Za-z0-9]{30}", "the token of 30 letters and digits"), secret=True)),
    lambda found: f"pover://{found['user']}@{found['token']}/")


def _signal_url(found: Mapping[str, str]) -> str:
    secure, where = place(found["server"])
    return (f"{'signals' if secure else 'signal'}://{login(found)}{where}/"
            + "/".join(found[key].replace(",", "/") for key in ("from", "to")))


_SIGNAL = Service(
    "signal", "Signal (by your own signal-cli-rest-api)",
    "Signal itself takes no messages from programs: run https://github.com/bbernhard/signal-cli-rest-api and register "
    "a number with it.",
    (server_question("http://localhost:8080", path=False),
     Question("from", "The registered number, such as +491701234567", say.number),
     Question("to", "To which numbers, separated by commas", say.numbers),
     *login_questions()),
    _signal_url)

_TWILIO = Service(
    "twilio", "SMS (Twilio)", "Account SID and auth token are on the first page of https://console.twilio.com.",
    (Question("sid", "Account SID (AC...)", say.matching(
        "AC[0-9a-f]{32}", "the account SID: AC and 32 digits or letters a-f")),
     Question("token", "Auth token", say.matching("[0-9a-f]{32}", "the auth token: 32 digits or letters a-f"),
              secret=True),
     Question("from", "From which of your Twilio numbers, such as +15551234567", say.number),
     Question("to", "To which numbers, separated by commas", say.numbers)),
    lambda found: f"twilio://{found['sid']}:{found['token']}@{found['from']}/{found['to'].replace(',', '/')}")

_REGION = Question("region", "Region: us or eu", say.one_of("us", "eu"), default="us", choices=("us", "eu"))

_PAGERDUTY = Service(
    "pagerduty", "PagerDuty",
    "In the service: Integrations, Add an integration, Events API V2; copy its integration key.",
    (Question("key", "Integration key, 32 letters and digits", say.matching(
        "[A-Za-z0-9]{32}", "the integration key of 32 letters and digits"), secret=True),
     _REGION),
    # Apprise wants an API key as well, for a header that Events API V2 does not ask for: the integration key again.
    lambda found: f"pagerduty://{found['key']}@{found['key']}/certbot-guard{say.query({'region': found['region']})}")

_OPSGENIE = Service(
    "opsgenie", "Opsgenie", "In the team: Integrations, Add integration, API; copy its API key.",
    (Question("key", "API key", say.matching("[A-Za-z0-9-]{20,60}", "the API key as Opsgenie shows it"), secret=True),
     _REGION,
     Question("team", "Team; empty for the integration's own", say.matching(
         r"[\w.-]{1,100}", "the team's name"), optional=True)),
    lambda found: f"opsgenie://{found['key']}/{'%23' + found['team'] if found['team'] else ''}"
                  + say.query({"region": found["region"]}))

SERVICES = (_NTFY, _GOTIFY, _PUSHOVER, _SIGNAL, _TWILIO, _PAGERDUTY, _OPSGENIE)
