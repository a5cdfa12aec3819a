"""Where Apprise would connect to for a channel, as far as that is known. Sends nothing.

Apprise has no word for it. What is taken: a mail's server; the host of a service of one's own; the fixed address of a
service that has one. For anything else nothing is said: the first part of such a URL is often a token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Optional
from urllib.parse import urlsplit

from certbot_guard.config import Config
from certbot_guard.doctor.reaching import PLAIN, STARTTLS, TLS, Target
from certbot_guard.trust import read_trusted

# Class attributes of Apprise's services that hold the address their messages go to (1.2.0 to 2.2.0)
_ADDRESSES = ("notify_url", "webhook_url", "api_url", "notify_sms_url", "cloud_notify_url", "access_token_url")
_NOT_OURS = {"service_url", "setup_url"}
# Of these a URL has a host, or a token in the same place.
_EITHER = {"NotifyMatrix", "NotifyNotica", "NotifyLametric", "NotifyPushDeer", "NotifyNotifico"}


def of_config(config: Config) -> Iterator[tuple[str, Optional[Target]]]:
    """Each channel's name, with a target; None where it is not known where it leads."""
    import apprise

    for channel in config.channels:
        service = apprise.Apprise.instantiate(channel.url, suppress_exceptions=True)
        if service is not None:  # else the check of the channels has said so
            yield channel.name, of_service(service)
    for path in config.apprise_configs:
        settings = apprise.AppriseConfig()
        settings.add_config(read_trusted(path)[0].decode("utf-8"),
                            format="yaml" if path.suffix in (".yml", ".yaml") else None)
        for number, service in enumerate(settings.servers(), 1):
            yield f"{path.name}, service {number}", of_service(service)


def of_service(service: Any) -> Optional[Target]:
    """The target of one of Apprise's services."""
    kind, verified = type(service).__name__, bool(getattr(service, "verify_certificate", True))
    if kind == "NotifyEmail":
        how = {"ssl": TLS, "starttls": STARTTLS}.get(_word(getattr(service, "secure_mode", "")), PLAIN)
        port = getattr(service, "port", None) or {TLS: 465, STARTTLS: 587, PLAIN: 25}[how]
        host = getattr(service, "smtp_host", "") or getattr(service, "host", "")
        if not service.secure:
            how = PLAIN
        return Target(str(host), int(port), how, True, verified and _mail_is_verified())
    hosted = _has_host(service, kind)
    if hosted:
        secure = bool(service.secure)
        return Target(str(service.host), int(service.port or (443 if secure else 80)), TLS if secure else PLAIN,
                      verified=verified)
    if hosted is None:
        return None
    for name in _ADDRESSES:
        address = getattr(type(service), name, None)
        parts = urlsplit(address) if isinstance(address, str) and name not in _NOT_OURS else None
        if parts is not None and parts.scheme in ("http", "https") and re.fullmatch(r"[\w.-]+(:\d+)?", parts.netloc):
            secure = parts.scheme == "https"
            return Target(parts.hostname or "", parts.port or (443 if secure else 80), TLS if secure else PLAIN,
                          verified=verified)
    return None


def _has_host(service: Any, kind: str) -> Optional[bool]:
    """Whether the URL's host is one; None: it cannot be told."""
    if kind == "NotifyNtfy":
        return _word(getattr(service, "mode", "")) == "private"
    if kind in _EITHER:
        return None
    templates = getattr(type(service), "templates", ())
    hosted = ["{host}" in one for one in templates]
    return all(hosted) if all(hosted) or not any(hosted) else None


def _word(value: Any) -> str:
    return str(getattr(value, "value", value) or "").lower()


def _mail_is_verified() -> bool:
    """Before 1.12 Apprise looks at no certificate of a mail server (measured: 1.2.0 and 1.9.0 do not, 2.2.0 does)."""
    import apprise

    numbers = re.findall(r"\d+", apprise.__version__)[:2]
    return [int(one) for one in numbers] >= [1, 12]
