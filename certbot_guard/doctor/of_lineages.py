"""Checks of certbot's renewal configurations and the certificates they name, as the watch reads them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from certbot_guard import text
from certbot_guard.doctor.check import Check, Group, ok, problem, skipped, some, warning
from certbot_guard.doctor.host import Host
from certbot_guard.doctor.result import Result
from certbot_guard.watch import files


def _of_kind(host: Host, kind: str) -> list[dict[str, Any]]:
    return [fields for found, fields in host.noted if found == kind]


def _read(host: Host) -> Iterator[Result]:
    if not host.lineages:
        where = text.listed([path / "renewal" for path in host.config_dirs])
        yield skipped("lineages", f"there is no renewal configuration in {where}")
        return
    broken = [one for one in host.lineages if one.error]
    yield from some([problem("lineages", f"certbot cannot use {text.line(one.path, 300)}: {text.line(one.error, 300)}",
                             where=text.line(one.path, 300), why="certbot renew passes it over each time, and exits "
                                                                 "with 1.",
                             remedy="mend the file, or obtain the certificate again: certbot certonly --cert-name "
                             f"{_word(one.name)}") for one in broken], "renewal configurations")
    if not broken:
        yield ok("lineages", f"{_count(len(host.lineages))} can be read")


def _guarded(host: Host) -> Iterator[Result]:
    usable = [one for one in host.lineages if not one.error]
    if not usable:
        yield skipped("lineages-guarded", "there is no lineage")
        return
    bare = [one for one in usable if not one.guarded and not one.installer]
    if bare:
        names = text.listed([one.name for one in bare])
        yield warning(
            "lineages-guarded", f"{_count(len(bare))} of {len(usable)} not guarded: {names}",
            why="The web server is not brought back by us when their renewal fails, and does not load what was "
                "renewed.",
            remedy=f"certbot-guard adopt --cert-name {_word(bare[0].name)}" if len(bare) == 1
            else "certbot-guard adopt --all")
        return
    others = [one for one in usable if not one.guarded]
    beside = f"; {len(others)} with an installer of certbot's own: {text.listed([one.name for one in others], 3)}"
    yield ok("lineages-guarded", f"{_count(len(usable) - len(others))} guarded" + (beside if others else ""))


def _plugins(host: Host) -> Iterator[Result]:
    missing = _of_kind(host, "plugin-missing")
    yield from some([problem(
        "lineage-plugins", f"{text.line(one['name'], 120)} needs certbot's plugin '{text.line(one['plugin'], 60)}', "
        "which is not installed", where=text.line(one["file"], 300), why="Its renewal fails each time."
        if one["role"] == "authenticator" else "certbot renews it without that installer, and forgets it.",
        remedy="install it into the same environment as certbot") for one in missing], "lineages")
    if not missing:
        yield _fine(host, "lineage-plugins", "every plugin that a guarded lineage names is installed")


def _keys(host: Host) -> Iterator[Result]:
    wrong = _of_kind(host, "key-mismatch")
    yield from some([problem(
        "lineage-keys", f"the certificate of {text.line(one['name'], 120)} does not fit its private key",
        where=text.line(one["directory"], 300), why="A web server that loads the two does not start, and a running one "
        "dies at its next reload.", remedy="once, by hand: certbot renew --force-renewal --new-key --cert-name "
        f"{_word(one['name'])}") for one in wrong], "lineages")
    if not wrong:
        yield _fine(host, "lineage-keys", "every certificate fits its key")


def _expiry(host: Host) -> Iterator[Result]:
    late = _of_kind(host, "not-renewed")
    yield from some([problem(
        "lineage-expiry", f"{text.line(one['name'], 120)} " + ("has expired" if one["expired"] else
        f"has been due since {text.line(one['due'], 40)} and was not renewed"), where=text.line(one["file"], 300),
        why="" if one["autorenew"] else "Its renewal configuration says autorenew = False.",
        remedy=f"see what is wrong: certbot renew --cert-name {_word(one['name'])}; certbot-guard explain says it "
        "in words") for one in late], "lineages")
    now = host.now()
    known = [one for one in host.lineages if one.validity is not None and not files.is_forgotten(one, now)]
    unknown = [one for one in host.lineages if not one.error and one.validity is None]
    yield from some([problem(
        "lineage-expiry", f"the certificate of {text.line(one.name, 120)} cannot be read: "
                          f"{text.line(one.certificate, 300)}",
        where=text.line(one.path, 300), why="certbot cannot renew it.", remedy="restore live/ and archive/ from a "
        f"backup, or: certbot certonly --cert-name {_word(one.name)}") for one in unknown], "lineages")
    if known and not late and not unknown:
        first = min(known, key=lambda one: one.validity.not_after)  # type: ignore[union-attr]
        days = (first.validity.not_after - now).days  # type: ignore[union-attr]
        yield ok("lineage-expiry", f"the first one that expires is {text.line(first.name, 120)}, in {days} days")
    elif not late and not unknown:
        yield skipped("lineage-expiry", "there is no certificate")


def _fine(host: Host, id: str, says: str) -> Result:
    return ok(id, says) if any(not one.error for one in host.lineages) else skipped(id, "there is no lineage")


def _word(name: object) -> str:
    """A lineage's name as a word of a command line."""
    return shlex.quote(text.line(name, 120))


def _count(number: int) -> str:
    return "1 lineage" if number == 1 else f"{number} lineages"


GROUP = Group("Lineages", (
    Check("lineages", "every renewal configuration can be read", "One that cannot is passed over by certbot "
                                                                 "renew.", _read),
    Check("lineages-guarded", "every lineage has the guard, or another installer", "Only a lineage whose renewal "
          "configuration says 'installer = guard' has its web server stopped, started and reloaded by certbot-guard.",
          _guarded),
    Check("lineage-plugins", "the plugins that guarded lineages name are installed", "Looked at where the certbot that "
          "renews runs in the same Python as this command.", _plugins),
    Check("lineage-keys", "every certificate fits its private key", "Apache's own configuration test does not notice a "
          "pair that does not fit, and Apache does not start with it.", _keys),
    Check("lineage-expiry", "no certificate is overdue", "Due is when certbot would renew it, with a third of its "
          "lifetime left; overdue when that was some days ago ([watch] stale_after).", _expiry),
))
