"""The story's mistakes in the lines by which certbot runs by itself: what is found, what is put instead, silence."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from certbot_guard import cron, jobs
from certbot_guard.doctor import hookfiles, mistakes
from certbot_guard.doctor.result import Result
from certbot_guard.jobs import Job

STORY = "00 04 01,15 * * apachectl graceful-stop && certbot renew --force-renewal && apachectl start"
TWICE = "17 4,16 * * * "
PROGRAMS = ("certbot", "apachectl", "apache2ctl", "httpd", "systemctl", "service", "perl", "python", "test", "sleep",
            "sh")


@pytest.fixture
def bin_(tmp_path: Path) -> Path:
    """A PATH of the test's own."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in PROGRAMS:
        (directory / name).write_text("")
        (directory / name).chmod(0o755)
    return directory


@pytest.fixture
def context(tmp_path: Path) -> mistakes.Context:
    return mistakes.Context(systemd=True, debian=True, find_program=lambda _name: None, python=Path("/opt/guard/bin"))


def job(line: str, path: Any = "/usr/bin:/bin", user_column: bool = False, **settings_: str) -> Job:
    entry = cron.parse_line(line, "/spool/root", 3, user_column, {"PATH": str(path), **settings_})
    return jobs.of_entry(entry, user_column)


def ids(found: list[Result]) -> set[str]:
    return {result.id for result in found}


STOP, SEQUENCE, FORCE, RARE, OFTEN = ("cron-stop-and-start", "cron-stop-start-sequence", "force-renewal",
                                      "runs-too-rarely", "runs-too-often")
HOOK, AWAY, AUTO, PERCENT, USER = ("hook-graceful-stop", "output-thrown-away", "certbot-auto", "cron-percent",
                                   "cron-extra-user")
UNREAD, INSTEAD = "line-not-read", "{guard} run --retry-for 6h -- {bin}/certbot renew --quiet"
# (the line of a user's own crontab, what is wrong with it, what is to stand there instead: None where that is not told)
WRONG = [
    (STORY, {STOP, FORCE, RARE}, "00 04,16 * * * {guard} run --retry-for 6h -- {bin}/certbot renew --quiet"),
    ("0 4 * * * apachectl stop && certbot renew && apachectl start", {STOP},
     "0 4 * * * {guard} run --retry-for 6h -- {bin}/certbot renew --quiet"),
    ("0 4 * * * systemctl stop apache2 && certbot renew -q && systemctl start apache2", {STOP},
     "0 4 * * * {guard} run --retry-for 6h -- {bin}/certbot renew -q"),
    ("0 4 * * * service apache2 stop && certbot renew && service apache2 start", {STOP}, ""),
    ("0 4 * * * httpd -k stop && certbot renew --quiet && httpd -k start", {STOP}, ""),
    ("0 4 * * * /etc/init.d/apache2 stop && certbot renew && /etc/init.d/apache2 restart", {STOP}, ""),
    ("0 4 * * * apachectl graceful-stop; certbot renew; apachectl start", {SEQUENCE},
     "0 4 * * * {guard} run --retry-for 6h -- {bin}/certbot renew --quiet"),
    ("0 4 * * * systemctl stop httpd; certbot renew; systemctl start httpd", {SEQUENCE}, ""),
    ("0 4 * * * systemctl stop apache2 && certbot renew; systemctl start apache2", {SEQUENCE}, ""),
    ("0 4 * * * systemctl stop apache2 ; sleep 5 ; certbot renew ; sleep 5 ; systemctl start apache2", {SEQUENCE},
     "0 4 * * * {guard} run --retry-for 6h -- {bin}/certbot renew --quiet"),
    ("0 4 * * * sh -c 'systemctl stop apache2; certbot renew; systemctl start apache2'", {SEQUENCE},
     "0 4 * * * {guard} run --retry-for 6h -- {bin}/certbot renew --quiet"),
    ("@monthly sh -c 'apachectl stop && certbot renew && apachectl start'", {STOP, RARE},
     TWICE + "{guard} run --retry-for 6h -- {bin}/certbot renew --quiet"),
    ("0 4 * * * systemctl stop apache2 && certbot renew || mail root", {STOP}, ""),
    ("0 4 * * * systemctl stop apache2 && certbot renew --post-hook 'systemctl start apache2'", {STOP}, ""),
    ("0 4 * * * cd /root && systemctl stop apache2 && A=1 certbot renew && systemctl start apache2 && touch /run/done",
     {STOP}, "0 4 * * * cd /root && A=1 {guard} run --retry-for 6h -- {bin}/certbot renew --quiet && touch /run/done"),
    ("0 4 * * * sudo systemctl stop apache2 && sudo certbot renew && sudo systemctl start apache2", {STOP},
     "0 4 * * * sudo {guard} run --retry-for 6h -- {bin}/certbot renew --quiet"),
    ("0 6 * * 0 service nginx stop && certbot renew -n -q && systemctl restart nginx", {STOP, RARE},
     "0 6,18 * * * certbot renew --pre-hook 'service nginx stop' --post-hook 'systemctl restart nginx' -n -q"),
    ("0 3 * * * service nginx stop; certbot renew; service nginx start", {SEQUENCE},
     "0 3 * * * certbot renew --pre-hook 'service nginx stop' --post-hook 'service nginx start'"),
    # groups, subshells, conditions, loops, functions
    ("0 4 * * * { apachectl stop; certbot renew; apachectl start; }", {SEQUENCE}, "0 4 * * * " + INSTEAD),
    ("0 4 * * * ( apachectl stop && certbot renew && apachectl start )", {STOP}, "0 4 * * * " + INSTEAD),
    ("0 4 * * * (apachectl stop; certbot renew; apachectl start) >/dev/null 2>&1", {SEQUENCE, AWAY},
     "0 4 * * * " + INSTEAD),
    ("0 4 * * * { systemctl stop apache2; certbot renew; systemctl start apache2; } || true", {SEQUENCE},
     "0 4 * * * { " + INSTEAD + "; } || true"),
    ("0 4 * * * ! ( apachectl stop; certbot renew; apachectl start )", {SEQUENCE}, "0 4 * * * ! ( " + INSTEAD + " )"),
    ("0 4 * * * ( { (apachectl stop; certbot renew; apachectl start); } )", {SEQUENCE}, "0 4 * * * " + INSTEAD),
    ("0 4 * * * cd / && ( apachectl stop; certbot renew -q; apachectl start ) >>/var/log/le 2>&1", {SEQUENCE},
     "0 4 * * * cd / && ( {guard} run --retry-for 6h -- {bin}/certbot renew -q ) >>/var/log/le 2>&1"),
    ("0 4 * * * if true; then apachectl stop; certbot renew; apachectl start; fi", {SEQUENCE},
     "0 4 * * * if true; then " + INSTEAD + "; fi"),
    ("0 4 * * * for a in b c; do apachectl stop; certbot renew --cert-name $a; apachectl start; done", {SEQUENCE},
     "0 4 * * * for a in b c; do {guard} run --retry-for 6h -- {bin}/certbot renew --quiet --cert-name $a; done"),
    ("0 4 * * * ( apachectl stop; certbot renew; apachectl start ) 2>&1 | logger", {SEQUENCE},
     "0 4 * * * ( " + INSTEAD + " ) 2>&1 | logger"),
    ("0 4 * * * (set -e; apachectl stop; certbot renew; apachectl start)", {STOP}, "0 4 * * * set -e; " + INSTEAD),
    ("0 4 * * * (certbot renew) >/dev/null 2>&1", {AWAY}, "0 4 * * * certbot renew --quiet"),
    ("0 4 * * * ( sleep 5; certbot renew --force-renewal; )", {FORCE}, "0 4 * * * sleep 5; certbot renew"),
    # the stop, certbot and the start are not in one list: left alone
    ("0 4 * * * ( apachectl stop; certbot renew ); apachectl start", {SEQUENCE}, None),
    ("0 4 * * * ( apachectl stop; certbot renew ) && apachectl start", {STOP}, None),
    ("0 4 * * * apachectl stop; ( certbot renew || exit 1 ); apachectl start", {SEQUENCE}, None),
    ("0 4 * * * apachectl stop; certbot renew || { echo no; exit 1; }; apachectl start", {STOP}, None),
    ("0 4 * * * apachectl stop; if certbot renew; then apachectl start; fi", {STOP}, None),
    ("0 4 * * * apachectl stop; if certbot renew; then apachectl start; else apachectl start; fi", {SEQUENCE}, None),
    ("0 4 * * * apachectl stop; until certbot renew; do sleep 60; done; apachectl start", {STOP}, None),
    ("0 4 * * * { apachectl stop; certbot renew; apachectl start & }", {SEQUENCE}, None),
    ("0 4 * * * off() { apachectl stop; }; off; certbot renew; apachectl start", {SEQUENCE}, None),
    ("0 4 * * * sh -c 'apachectl stop; certbot renew; apachectl start' || true", {SEQUENCE}, None),
    ("0 4 * * * case $HOME in /root) apachectl stop;; esac; certbot renew; apachectl start", {SEQUENCE}, None),
    # which way certbot ends counts
    ("0 4 * * * apachectl stop; certbot renew || true; apachectl start", {SEQUENCE}, ""),
    ("0 4 * * * apachectl stop && certbot renew || apachectl start", {STOP}, ""),
    # what cannot be read is said
    ("0 4 * * * { apachectl stop; certbot renew; apachectl start", {UNREAD}, None),
    ("0 4 * * * apachectl stop; certbot renew; echo 'done", {UNREAD}, None),
    ("0 4 * * * x=$(apachectl stop); certbot renew", {UNREAD}, None),
    ("0 4 * * * sh -c '{ apachectl stop; certbot renew; apachectl start' || true", {UNREAD}, None),
    ("0 4 * * * " + "(" * 30 + "apachectl stop; certbot renew" + ")" * 30, {UNREAD}, None),
    ("0 4 * * * ( apachectl stop; out=$(certbot renew 2>&1); apachectl start ) | logger", {UNREAD}, None),
    ("0 4 * * * systemctl stop apache2; if ! out=$(certbot renew -q 2>&1); then echo \"$out\"; fi", {UNREAD}, None),
    # what a trap starts is not known
    ('0 4 * * * (trap "systemctl start apache2" EXIT; systemctl stop apache2; certbot renew -q)', {UNREAD}, None),
    ("0 4 * * * trap 'systemctl start apache2' EXIT; systemctl stop apache2; certbot renew -q && systemctl start "
     "apache2", {UNREAD}, None),
    ("0 4 * * * trap 'rm -f /run/x' EXIT; systemctl stop apache2; certbot renew -q; systemctl start apache2",
     {SEQUENCE}, None),
    ("0 4 * * * systemctl stop nginx apache2; certbot renew; systemctl start nginx apache2", {SEQUENCE}, None),
    ("0 4 * * * exec apachectl stop; certbot renew; apachectl start", {SEQUENCE}, None),
    # a server whose name is not known, and hooks that are there already
    ("0 4 * * * for s in nginx haproxy; do systemctl stop $s; certbot renew -q; systemctl start $s; done", {SEQUENCE},
     None),
    ("0 4 * * * systemctl stop nginx; certbot renew --pre-hook 'service x stop'; systemctl start nginx", {SEQUENCE},
     None),
    ("0 4 * * * apachectl stop || exit 1; certbot renew; apachectl start", {SEQUENCE}, None),
    ("0 4 * * * systemctl is-active -q apache2 && systemctl stop apache2; certbot renew -q; systemctl start apache2",
     {SEQUENCE}, "0 4 * * * systemctl is-active -q apache2; {guard} run --retry-for 6h -- {bin}/certbot renew -q"),
    ("0 4 * * * (sleep 1; certbot renew -q) >> /var/log/le.log 2>/dev/null", {AWAY}, None),
    ("0 3 * * * certbot renew --force-renewal", {FORCE}, "0 3 * * * certbot renew"),
    ("0 3 * * * certbot --force-renew renew -q", {FORCE}, "0 3 * * * certbot renew -q"),
    ("0 3 * * 1 certbot renew --renew-by-default", {FORCE, RARE}, "0 3,15 * * * certbot renew"),
    ("15 3 1 */2 * certbot certonly -n --webroot -w /srv -d example.com --force-renewal", {FORCE, RARE},
     "15 3,15 * * * certbot certonly -n --webroot -w /srv -d example.com --keep-until-expiring"),
    ("0 3 * * * docker compose run --rm certbot renew --force-renewal", {FORCE},
     "0 3 * * * docker compose run --rm certbot renew"),
    ("0 3 * * * if true; then certbot renew --force-renewal; fi", {FORCE}, "0 3 * * * if true; then certbot renew; fi"),
    ("0 0 1 * * certbot renew", {RARE}, "0 0,12 * * * certbot renew"),
    ("0 3 */15 * * certbot renew", {RARE}, "0 3,15 * * * certbot renew"),
    ("0 3 1,15 * * certbot renew", {RARE}, "0 3,15 * * * certbot renew"),
    ("30 2 * * 1 certbot renew >> /var/log/le-renew.log", {RARE},
     "30 2,14 * * * certbot renew >> /var/log/le-renew.log"),
    ("0 0 1 4 * certbot renew", {RARE}, "0 0,12 * * * certbot renew"),
    ("@weekly certbot renew --quiet", {RARE}, TWICE + "certbot renew --quiet"),
    ("@yearly certbot renew --quiet", {RARE}, TWICE + "certbot renew --quiet"),
    ("@reboot certbot renew --quiet", {RARE}, TWICE + "certbot renew --quiet"),
    ("-0 23 1 * * certbot renew", {RARE}, "-0 11,23 * * * certbot renew"),
    ("*  4  1 * *   certbot renew", {RARE}, "0 4,16 * * * certbot renew"),
    ("* */12 * * * certbot renew", {OFTEN}, "0 0,12 * * * certbot renew"),
    ("* * * * * certbot renew -q", {OFTEN}, "0 0,12 * * * certbot renew -q"),
    ('0 3 * * * certbot renew --pre-hook "apachectl graceful-stop" --post-hook "apachectl start"', {HOOK},
     '0 3 * * * certbot renew --pre-hook "systemctl stop apache2" --post-hook "systemctl start apache2"'),
    ("0 3 * * * certbot renew --pre-hook='apachectl stop' --post-hook='apachectl start' -q", {HOOK},
     "0 3 * * * certbot renew --pre-hook='systemctl stop apache2' --post-hook='systemctl start apache2' -q"),
    ("0 3 * * * certbot renew --pre-hook '/usr/sbin/httpd -k graceful-stop' --post-hook '/usr/sbin/httpd -k start'",
     {HOOK}, "0 3 * * * certbot renew --pre-hook 'systemctl stop apache2' --post-hook 'systemctl start apache2'"),
    ("0 3 * * * certbot renew >/dev/null 2>&1", {AWAY}, "0 3 * * * certbot renew --quiet"),
    ("0 3 * * * certbot renew &> /dev/null", {AWAY}, "0 3 * * * certbot renew --quiet"),
    ("0 3 * * * certbot renew 2>/dev/null", {AWAY}, "0 3 * * * certbot renew"),
    ("0 3 * * * certbot -q renew > /dev/null 2> /dev/null", {AWAY}, "0 3 * * * certbot -q renew"),
    ("20 1 * * * certbot renew >/dev/null 2>&1 && systemctl restart nginx >/dev/null 2>&1", {AWAY},
     "20 1 * * * certbot renew --quiet && systemctl restart nginx >/dev/null 2>&1"),
    ("0 3 * * * certbot renew >/dev/null 2>&1 || true", {AWAY}, "0 3 * * * certbot renew --quiet || true"),
    ("0 3 * * * sh -c 'certbot renew -q >/dev/null 2>&1'", {AWAY}, "0 3 * * * certbot renew -q"),
    ("0 3 * * * /usr/local/bin/certbot-auto renew --quiet --no-self-upgrade", {AUTO}, None),
    ("0 3 * * * cd /opt/letsencrypt && ./certbot-auto renew", {AUTO}, None),
    ("0 3 * * * /opt/letsencrypt/letsencrypt-auto renew", {AUTO}, None),
    ("0 3 * * * sleep $((RANDOM % 3600)) && certbot renew -q", {PERCENT},
     "0 3 * * * sleep $((RANDOM \\% 3600)) && certbot renew -q"),
    ("0 3 * * * certbot renew >> /var/log/le-$(date +%F).log 2>&1", {PERCENT},
     "0 3 * * * certbot renew >> /var/log/le-$(date +\\%F).log 2>&1"),
    ("5 8 * * * root certbot renew -q", {USER}, "5 8 * * * certbot renew -q"),
    ("* */12 * * * root certbot renew >/dev/null 2>&1", {USER, OFTEN, AWAY}, "0 0,12 * * * certbot renew --quiet"),
]
FINE = [
    TWICE + "certbot-guard run --retry-for 6h -- certbot renew --quiet", TWICE + "certbot renew --quiet",
    TWICE + "/opt/certbot/bin/certbot-guard run --retry-for 6h -- /opt/certbot/bin/certbot renew --quiet",
    "0 0,12 * * * /opt/certbot/bin/python -c 'import random; import time; time.sleep(random.random() * 3600)' && "
    "sudo certbot renew -q",
    "0 0,12 * * * python -c 'import random; import time; time.sleep(random.random() * 3600)' && certbot renew "
    ">/dev/null",
    "0 */12 * * * test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' && "
    "certbot -q renew",
    "0 */12 * * * test -x /usr/bin/certbot && perl -e 'sleep int(rand(3600))' && certbot -q renew",
    "0 */12 * * * test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' && "
    "certbot -q renew --no-random-sleep-on-renew",
    "43 6 * * * certbot renew --post-hook 'systemctl reload nginx'",
        "0 3 * * * certbot renew -q >> /var/log/le.log 2>&1",
    "0 3 * * * certbot renew --quiet --deploy-hook 'apachectl graceful'",
        "0 3 * * * certbot renew && apachectl graceful",
    "0 3 * * * certbot renew --pre-hook 'systemctl stop apache2' --post-hook 'systemctl start apache2'",
    "0 3 * * * certbot renew --pre-hook 'service apache2 stop' --post-hook 'service apache2 start'",
    "0 3 * * * certbot renew -q && systemctl restart nginx", "0 3 * * * certbot renew -q; systemctl reload apache2",
    "0 3 * * * certbot renew >/dev/null 2>&1 || mail -s 'renewal failed' root </dev/null",
    "0 3 * * * certbot renew >/dev/null 2>&1 && curl -fsS https://hc.example.com/ping",
        "0 3 * * * snap run certbot renew -q",
    "0 3 * * * chronic certbot renew", "0 3 * * * certbot renew 2>&1 | logger -t certbot", "17 3 * * * certbot.renew",
    "0 3 * * * sleep $((RANDOM \\% 3600)) && certbot renew -q", "0 3 * * * flock -n /run/le.lock certbot renew -q",
    "0 3 * * * certbot renew -q --cert-name force-renewal.example.com", "0 3 * * * certbot renew -q # --force-renewal",
    "0 3 1 * * certbot certificates", "0 3 1 * * certbot renew --dry-run --force-renewal",
        "0 3 1 * * certbot --version",
    '0 0 1 * * "/opt/acme.sh"/acme.sh --cron --home "/opt/acme.sh" >/dev/null 2>&1',
    "0 4 * * 0 apachectl stop && tar cf /b.tar /srv && apachectl start", "0 4 1 * * echo certbot renew --force-renewal",
    "0 3 * * * if true; then apachectl stop; else certbot renew -q; fi", "0 3 * * * (certbot renew -q) || mail root",
    "0 3 * * * ( certbot renew >/dev/null 2>&1 ) || mail root", "0 3 * * * until certbot renew -q; do sleep 60; done",
    "0 3 * * * { apachectl stop; apachectl start; }; certbot renew -q", "0 3 * * * certbot renew -q --cert-name 'a",
    "0 3 * * * off() { apachectl stop; }; certbot renew -q", "0 3 * * * ( sleep 5; certbot renew -q ) 2>&1 | logger",
    '0 3 * * * if ! out=$(certbot renew -q 2>&1); then echo "$out" | mail root; fi',
    "0 3 * * * if ! certbot renew -q >/dev/null 2>&1; then /usr/local/bin/alert failed; fi",
    "0 3 * * * certbot renew -q >/dev/null 2>&1; if [ $? -ne 0 ]; then /usr/local/bin/alert; fi",
    "0 3 * * * certbot renew -q >/dev/null 2>&1; [ $? -eq 0 ] || /usr/local/bin/alert",
    '0 3 * * * certbot renew -q --deploy-hook "$(cat /etc/hook-stop)"', "0 3 * * * x=$(cat /etc/stop.conf); certbot "
    "renew -q", "0 3 * * * trap 'rm -f /run/x' EXIT; certbot renew -q",
    "0 3 * * * docker compose -f /srv/x.yml run --rm certbot renew -q", "0 4 1 * * apt-get -y upgrade certbot",
]


@pytest.mark.parametrize(("line", "wrong", "instead"), WRONG, ids=[line for line, _, _ in WRONG])
def test_a_mistake_is_found_and_the_line_instead_makes_none(line: str, wrong: set[str], instead: Optional[str],
bin_: Path,
                                                            context: mistakes.Context) -> None:
    found = mistakes.of_job(job(line, bin_), context)
    assert ids(found) == wrong
    assert all(result.says and result.why and result.remedy for result in found)
    assert {result.where for result in found} == {"/spool/root, line 3"}
    assert {result.line for result in found} == {line} and wrong <= set(mistakes.BY_ID)
    offered = {result.instead for result in found}
    if instead is None:
        assert offered == {""}
        return
    (new,) = offered
    if instead:
        assert new == instead.replace("{bin}", str(bin_)).replace("{guard}", "/opt/guard/bin/certbot-guard")
    assert new and mistakes.of_job(job(new, bin_), context) == []


@pytest.mark.parametrize("line", FINE)
def test_a_line_that_is_fine_gets_no_word(line: str, bin_: Path, context: mistakes.Context) -> None:
    made = job(line, bin_)
    assert mistakes.of_job(made, context) == []
    assert mistakes.of_job(made, replace(context, systemd=False)) == []


def test_every_crontab_mistake_is_in_the_table() -> None:
    assert set().union(*(wrong for _, wrong, _ in WRONG)) | {
        "installer-over-others", "program-not-found", "cron-line-refused", "unit-stop-and-start"} == set(mistakes.BY_ID)
    assert all(one.title and len(one.explanation) > 60 for one in mistakes.MISTAKES)


def test_the_storys_line_is_explained(bin_: Path, context: mistakes.Context) -> None:
    found = {result.id: result for result in mistakes.of_job(job(STORY, bin_), context)}
    assert "only if certbot succeeds" in found["cron-stop-and-start"].says
    assert "stays down until somebody looks" in found["cron-stop-and-start"].why
    assert "even when certbot succeeds" in found["cron-stop-and-start"].why
    assert "certbot-guard adopt" in found["cron-stop-and-start"].remedy
    assert "5 times in 7 days" in found["force-renewal"].why
    assert found["runs-too-rarely"].says == "certbot runs on about 2 days of the month."


def test_where_there_is_no_line_to_put_instead_it_says_what_to_do(bin_: Path, context: mistakes.Context) -> None:
    for line, begins in (("{ apachectl stop; certbot renew; apachectl start; }", "Put this line instead: Apache"),
                         ("( apachectl stop; certbot renew ); apachectl start", "Take out what stops and starts")):
        (found,) = mistakes.of_job(job(f"0 4 * * * {line}", bin_), context)
        assert found.remedy.startswith(begins)


def test_a_start_that_only_a_failure_reaches_is_told_apart(bin_: Path, context: mistakes.Context) -> None:
    for line, says in (("apachectl stop && certbot renew || apachectl start", "again only if certbot fails."),
                       ("( apachectl stop; certbot renew || apachectl start )", "again only if certbot fails."),
                       ("( apachectl stop; certbot renew; true && apachectl start )", "the whole of every run."),
                       ("( apachectl stop; certbot renew; test $? = 0 && apachectl start )",
                        "only if certbot succeeds."),
                       ("apachectl stop; certbot renew; rc=$?; if [ $rc = 0 ]; then apachectl start; fi",
                        "only if certbot succeeds."),
                       ("apachectl stop; if certbot renew; then apachectl start; fi", "only if certbot succeeds."),
                       ("systemctl stop apache2; certbot renew -q; if [ ! -f /etc/maintenance ]; then systemctl start "
                        "apache2; fi", "Apache is started again only under a condition."),
                       ("systemctl stop apache2; certbot renew -q; apache2ctl -t && systemctl start apache2",
                        "Apache is started again only under a condition."),
                       ('systemctl stop $x; certbot renew -q; [ "$was" = 1 ] && systemctl start $x',
                        "A server is started again only under a condition.")):
        (found,) = mistakes.of_job(job(f"0 4 * * * {line}", bin_), context)
        assert found.says.endswith(says)


def test_a_script_that_looks_how_its_line_ends_is_left_alone(context: mistakes.Context) -> None:
    line = "apachectl stop; certbot renew; apachectl start"
    asks, does_not = job("0 4,16 * * * /srv/renew.sh && touch /x"), job("0 4,16 * * * /srv/renew.sh; touch /x")
    for body, caller, offered in ((f"{line}\nif [ $? = 0 ]; then touch /x; fi", None, False), (line, asks, False),
                                  (f"{line}\ntouch /x", does_not, True)):
        (found,) = mistakes.of_job(script(body, caller=caller), context)
        assert found.id == SEQUENCE and bool(found.instead) is offered
    inside = f"/bin/sh -c '{line}'"
    (found,) = mistakes.of_job(unit(inside, after=("/bin/touch /x",)), context)
    assert found.id == SEQUENCE and found.instead == "" and mistakes.of_job(unit(inside), context)[0].instead


def test_a_hook_that_cannot_be_judged_is_said_to_be_unread(context: mistakes.Context,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    def too_deep(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr("certbot_guard.doctor.judging.hook_trouble", too_deep)
    (found,) = mistakes.of_hooks([hookfiles.Hook(Path("/x"), 1, "pre-hook", "x", "pre_hook = x")], context)
    assert (found.id, found.where, found.instead) == (UNREAD, "/x, line 1", "")


def test_more_starts_than_anybody_writes_are_said_to_be_unread(context: mistakes.Context) -> None:
    assert ids(mistakes.of_job(job("0 4 * * * " + "certbot renew;" * 101), context)) == {UNREAD}


def test_a_line_that_would_still_make_a_mistake_is_not_offered(bin_: Path, context: mistakes.Context) -> None:
    once = "apachectl stop; certbot renew --cert-name {0}; apachectl start"
    found = mistakes.of_job(job(f"0 4 * * * {once.format('a')}; {once.format('b')}", bin_), context)
    assert ids(found) == {SEQUENCE} and found[0].instead == "" and found[0].remedy


def test_column_whole_path_and_settings_of_the_user_stay(bin_: Path, context: mistakes.Context) -> None:
    (bin_ / "certbot-guard").write_text("")
    line = (f"5 3 1 * *\troot  LANG=C {bin_}/apachectl stop && {bin_}/certbot renew --cert-name a && "
            f"{bin_}/apachectl start")
    found = mistakes.of_job(job(line, bin_, True), context)
    assert ids(found) == {STOP, RARE}
    # LANG=C was Apache's, which is not called any more
    assert found[0].instead == (f"5 3,15 * * * root {bin_}/certbot-guard run --retry-for 6h -- {bin_}/certbot renew "
                                "--quiet --cert-name a")


def test_lineages_without_a_guard_are_guarded_by_the_line(bin_: Path, context: mistakes.Context) -> None:
    def instead(**installers: str) -> str:
        return mistakes.of_job(job(STORY, bin_), replace(context, installers=installers))[0].instead

    assert instead(a="", b="guard").endswith("certbot renew --quiet --installer guard")
    assert instead(a="guard", b="guard").endswith("certbot renew --quiet")
    assert instead(a="", b="apache").endswith("certbot renew --quiet")
    found = mistakes.of_job(job(STORY, bin_), replace(context, installers={"a": "guard"}))
    assert "adopt" not in found[0].remedy


def test_guard_over_lineages_of_another_installer(bin_: Path, context: mistakes.Context) -> None:
    mixed = replace(context, installers={"a": "guard", "b": "nginx", "c": ""})
    for said in ("--installer guard", "-i guard", "--installer=guard"):
        (found,) = mistakes.of_job(job(TWICE + f"certbot renew {said} -q", bin_), mixed)
        assert found.id == "installer-over-others" and "b (nginx)" in found.says and "adopt" in found.remedy
        assert found.instead == TWICE + "certbot renew -q"
    for fine, around in (("--installer guard --cert-name c", mixed), ("--installer nginx", mixed),
                         ("--installer guard", replace(context, installers={"a": "", "b": "None"}))):
        assert mistakes.of_job(job(TWICE + f"certbot renew {fine} -q", bin_), around) == []


def test_a_program_that_cron_does_not_find(tmp_path: Path, context: mistakes.Context) -> None:
    away = tmp_path / "snap"
    away.mkdir()
    for name in ("certbot", "certbot-guard"):
        (away / name).write_text("")
        (away / name).chmod(0o755)
    around = replace(context, find_program=lambda name: away / name if (away / name).exists() else None)
    made = job(TWICE + "certbot-guard run -- certbot renew -q", tmp_path)
    (found,) = mistakes.of_job(made, around)
    assert found.id == "program-not-found" and str(away / "certbot") in found.says and str(tmp_path) in found.why
    assert found.instead == TWICE + f"{away}/certbot-guard run -- {away}/certbot renew -q"
    assert mistakes.of_job(job(TWICE + "certbot renew -q", away), around) == []
    (auto,) = mistakes.of_job(job(TWICE + "/opt/certbot-auto renew -q", away), around)
    assert auto.instead == TWICE + f"{away}/certbot renew -q"


def test_output_is_not_missed_where_something_else_tells(bin_: Path, context: mistakes.Context) -> None:
    line = TWICE + "certbot renew >/dev/null 2>&1"
    told = replace(context, channels=True, installers={"a": "guard"})
    assert mistakes.of_job(job(line, bin_), told) == []
    assert ids(mistakes.of_job(job(line, bin_), replace(told, installers={"a": "guard", "b": ""}))) == {AWAY}
    assert ids(mistakes.of_job(job(line, bin_), replace(told, channels=False))) == {AWAY}
    guarded = TWICE + "certbot-guard run -- certbot renew >/dev/null 2>&1"
    assert mistakes.of_job(job(guarded, bin_), replace(context, channels=True)) == []
    assert ids(mistakes.of_job(job(guarded, bin_), context)) == {AWAY}


def test_a_shell_that_is_not_bash_makes_something_else_of_it(bin_: Path, context: mistakes.Context) -> None:
    line = TWICE + "certbot renew &>/dev/null"
    (in_sh,), (in_bash,) = (mistakes.of_job(job(line, bin_, SHELL=shell), context)
                            for shell in ("/bin/sh", "/bin/bash"))
    assert "background" in in_sh.says and in_bash.says == "Its errors go to /dev/null."


def test_mail_to_nobody(bin_: Path, context: mistakes.Context) -> None:
    (found,) = mistakes.of_job(job(TWICE + "certbot renew -q", bin_, MAILTO=""), context)
    assert found.id == AWAY and found.instead == "MAILTO=root\n" + TWICE + "certbot renew -q"
    (found,) = mistakes.of_job(job(TWICE + "certbot renew -q", bin_, MAILTO=""), replace(context, channels=True))
    assert found.instead.endswith(f"certbot-guard run --retry-for 6h -- {bin_}/certbot renew -q")
    assert mistakes.of_job(job(TWICE + "certbot renew -q >>/var/log/le 2>&1", bin_, MAILTO=""), context) == []
    assert mistakes.of_job(job(TWICE + "certbot renew -q", bin_, MAILTO="ops@example.com"), context) == []
    assert mistakes.of_job(job(TWICE + "( certbot renew -q; true ) 2>&1 | sponge /x", bin_, MAILTO=""), context) == []
    assert ids(mistakes.of_job(job(TWICE + "( certbot renew -q; true )", bin_, MAILTO=""), context)) == {AWAY}


def test_what_all_jobs_do_together_is_often_enough(bin_: Path, context: mistakes.Context) -> None:
    first, second = job("0 3 1 * * certbot renew", bin_), replace(job("0 3 * * * certbot renew", bin_), source="timer")
    assert mistakes.of_job(first, replace(context, jobs=(first, second))) == []
    off = replace(second, active=False)
    assert ids(mistakes.of_job(first, replace(context, jobs=(first, off)))) == {RARE}
    assert mistakes.of_job(replace(first, active=False), context) == []


def test_hooks_without_systemd(bin_: Path, context: mistakes.Context) -> None:
    around = replace(context, systemd=False)
    line = "0 3 * * * certbot renew --pre-hook 'apachectl {}' --post-hook 'apachectl start'"
    assert mistakes.of_job(job(line.format("graceful-stop"), bin_), around) == []
    (found,) = mistakes.of_job(job(line.format("stop"), bin_), around)
    assert "already running" in found.why and "systemd" not in found.why
    assert found.instead == line.format("graceful-stop")
    # RHEL's apachectl hands "stop" to systemctl; its graceful-stop is a signal
    rhel = replace(context, debian=False)
    assert mistakes.of_job(job(line.format("stop"), bin_), rhel) == []
    assert "systemctl stop httpd" in mistakes.of_job(job(line.format("graceful-stop"), bin_), rhel)[0].instead


# -- scripts, units, lines that cron refuses ---------------------------------------------------------------------------


def script(body: str, **more: Any) -> Job:
    number, line = next((number, line) for number, line in enumerate(body.split("\n"), 1) if "certbot renew" in line)
    return Job(f"/srv/renew.sh, line {number}", Path("/srv/renew.sh"), number, line, line.strip(), True,
               "script", body=body,
               runs_per_month=60.0, **more)


@pytest.mark.parametrize(("body", "wrong"), [
    ("apachectl stop\ncertbot renew\napachectl start", {SEQUENCE}),
    ("set -e\napachectl graceful-stop\n\ncertbot renew -q\napachectl start", {STOP}),
    ("systemctl stop apache2\nif certbot renew; then\n  systemctl start apache2\nfi", {STOP}),
    ("certbot renew --force-renewal", {FORCE}), ("cd /x\nfor a in b; do\n  certbot renew --force-renewal\ndone",
    {FORCE}),
    ("certbot renew -q\nsystemctl reload apache2", set()), ("systemctl start apache2\ncertbot renew", set()),
    ("systemctl stop apache2\ntar cf x y\nsystemctl start apache2\ncertbot renew", set()),
    ("{\n  apachectl stop\n  certbot renew\n  apachectl start\n} >/dev/null 2>&1", {SEQUENCE}),
    ("(\n  apachectl stop &&\n  certbot renew &&\n  apachectl start\n) || true", {STOP}),
    ("off() {\n  apachectl stop\n}\non()\n{ apachectl start; }\noff\ncertbot renew -q\non", {SEQUENCE}),
    ("if [ -x /usr/bin/certbot ]\nthen\n  ( apachectl stop\n    certbot renew\n    apachectl start )\nfi", {SEQUENCE}),
    ("case $1 in\n  a|b) apachectl stop ;;\n  *) certbot renew ;;\nesac", set()),
    ("cat <<E\n( { 'apachectl stop\nE\ncertbot renew -q", set()),
    # not read as a whole: line by line, as far as that goes
    ("diff <(a) <(b)\n( apachectl stop\ncertbot renew -q\napachectl start ) >/dev/null", {SEQUENCE}),
    ("diff <(a) <(b)\napachectl stop\ncertbot renew -q\necho 'x\ny'; apachectl start", {UNREAD}),
    ("systemctl stop apache2\nif ! OUT=$(certbot renew -q 2>&1); then\n  echo \"$OUT\"\nfi\nsystemctl start apache2",
     {UNREAD}),
    ("cleanup() { systemctl start apache2; }\ntrap cleanup EXIT\nsystemctl stop apache2\ncertbot renew -q", {UNREAD}),
    ("diff <(a) <(b)\nif true; then\napachectl stop $(\ncertbot renew -q\n)\nfi", {UNREAD}),
    ("off() { apachectl stop; }\ndiff <(a)\nif true; then off; fi\noff() { :; }\ncertbot renew -q", {UNREAD}),
])
def test_scripts_are_read_line_by_line(body: str, wrong: set[str], context: mistakes.Context) -> None:
    found = mistakes.of_job(script(body), context)
    assert ids(found) == wrong
    for result in found:
        if result.id == UNREAD:
            assert result.status == "warning" and result.instead == "" and "this script" in result.says
        elif "if certbot" not in body and "renew &&" not in body:
            assert "certbot" in result.instead and "force" not in result.instead
            assert mistakes.of_job(script(result.instead), context) == []


def test_a_script_that_is_called_too_rarely_and_unheard(bin_: Path, context: mistakes.Context) -> None:
    caller = job("0 3 1 * * /srv/renew.sh >/dev/null 2>&1", bin_)
    made = script("certbot renew -q", caller=caller)
    found = mistakes.of_job(made, context)
    assert ids(found) == {RARE, AWAY} and {result.where for result in found} == {"/spool/root, line 3"}
    assert {result.instead for result in found} == {"0 3,15 * * * /srv/renew.sh >/dev/null"}


def unit(value: str = "/usr/bin/certbot renew -q", **more: Any) -> Job:
    return Job("renew.service (/etc/systemd/system/renew.service)", Path("/etc/systemd/system/renew.service"), 7,
               f"ExecStart={value}", value, False, "systemd", unit="renew.service", timer="renew.timer", active=True,
               **{"runs_per_month": 60.0, **more})


def test_units_of_the_distributions_are_fine(context: mistakes.Context) -> None:
    for value in ("/usr/bin/certbot -q renew", "/usr/bin/certbot -q renew --no-random-sleep-on-renew",
                  "/usr/bin/certbot renew --noninteractive --no-random-sleep-on-renew $PRE_HOOK $POST_HOOK "
                  "$RENEW_HOOK $DEPLOY_HOOK $CERTBOT_ARGS", '/usr/bin/snap run --timer="00:00~24:00/2" certbot.renew'):
        assert unit(value).starts() and mistakes.of_job(unit(value), context) == []


def test_a_unit_that_stops_and_starts(context: mistakes.Context) -> None:
    (found,) = mistakes.of_job(unit(before=("/bin/systemctl stop apache2", "/bin/echo x"),
                                    after=("/bin/systemctl start apache2",)), context)
    assert found.id == "unit-stop-and-start" and found.status == "problem" and "only if certbot succeeds" in found.says
    assert found.instead.split("\n") == [
        "[Service]", "ExecStartPre=", "ExecStartPre=/bin/echo x", "ExecStart=",
        "ExecStart=/opt/guard/bin/certbot-guard run --retry-for 6h -- /usr/bin/certbot renew -q", "ExecStartPost="]
    two = ("/bin/systemctl stop apache2 nginx",)
    assert mistakes.of_job(unit(before=two, after=("systemctl start apache2",)), context)[0].instead == ""
    (found,) = mistakes.of_job(unit(before=("apachectl stop",), always=("apachectl start",)), context)
    assert found.status == "warning" and found.instead.endswith("ExecStopPost=")
    assert mistakes.of_job(unit(before=("/bin/echo x",), after=("/bin/systemctl reload apache2",)), context) == []


def test_a_unit_that_forces_or_comes_too_rarely(context: mistakes.Context) -> None:
    (found,) = mistakes.of_job(unit("-/usr/bin/certbot renew --force-renewal"), context)
    assert found.id == FORCE and found.instead == "ExecStart=-/usr/bin/certbot renew"
    lib = replace(unit("/usr/bin/certbot renew --force-renewal"), path=Path("/lib/systemd/system/renew.service"))
    assert mistakes.of_job(lib, context)[0].instead == "[Service]\nExecStart=\nExecStart=/usr/bin/certbot renew"
    (found,) = mistakes.of_job(unit(runs_per_month=1.0), context)
    assert found.id == RARE and "OnCalendar=*-*-* 04,16:17:00" in found.instead
    rare = unit("/bin/sh -c 'certbot renew --force-renewal >/dev/null 2>&1'", runs_per_month=1.0)
    both = {one.id: one.instead for one in mistakes.of_job(rare, context)}
    assert set(both) == {FORCE, RARE, AWAY} and both[RARE].startswith("[Timer]")
    assert both[FORCE] == both[AWAY] == "ExecStart=certbot renew --quiet"
    inside = unit("/bin/sh -c 'apachectl stop && certbot renew && apachectl start'")
    (found,) = mistakes.of_job(inside, context)
    assert found.id == STOP and found.instead.startswith("ExecStart=/opt/guard/bin/certbot-guard run")


def test_lines_that_cron_refuses(tmp_path: Path, context: mistakes.Context) -> None:
    (tmp_path / "cron.d").mkdir()
    (tmp_path / "cron.d/renew").write_text("0 3 1 * * certbot renew\n0 3 * * * root certbot renew\n")
    (tmp_path / "crontab").write_text("0 25 * * * root certbot renew\nbroken line\n0 3 * * * root true\n")
    places = jobs.schedule.Places(crontab=tmp_path / "crontab", cron_d=tmp_path / "cron.d", users=(), periodic=())
    first, second = (mistakes.of_job(one, context)[0] for one in jobs.refused(places))
    assert ids([first, second]) == {"cron-line-refused"}
    assert first.line == "0 25 * * * root certbot renew" and "hour" in first.says and first.instead == ""
    assert "no user" in second.says and second.instead == "0 3,15 * * * root certbot renew"


# -- certbot's own files -----------------------------------------------------------------------------------------------


@pytest.fixture
def config_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "letsencrypt"
    for name in ("renewal", "renewal-hooks/pre", "renewal-hooks/post", "renewal-hooks/deploy"):
        (directory / name).mkdir(parents=True)
    return directory


def test_hooks_in_renewal_configurations(config_dir: Path, context: mistakes.Context) -> None:
    said = "[renewalparams]\npre_hook = {}\npost_hook = apachectl start\nrenew_hook = apachectl graceful\n"
    for name, hook in (("a", "apachectl graceful-stop"), ("b",
                                                          "systemctl stop apache2"), ("c",
                                                          '"apachectl stop; sleep 2"')):
        (config_dir / f"renewal/{name}.conf").write_text(said.format(hook))
    found = mistakes.of_hooks(hookfiles.find(config_dir), context)
    assert [(one.id, one.where, one.line, one.instead) for one in found] == [
        (HOOK, f"{config_dir}/renewal/a.conf, line 2", "pre_hook = apachectl graceful-stop",
         "pre_hook = systemctl stop apache2"),
        (HOOK, f"{config_dir}/renewal/c.conf, line 2", 'pre_hook = "apachectl stop; sleep 2"',
         'pre_hook = "systemctl stop apache2; sleep 2"')]
    assert "of a " in found[0].says and "--retire-hooks" in found[0].remedy
    (only,) = mistakes.of_hooks(hookfiles.find(config_dir), replace(context, systemd=False))
    assert only.instead == 'pre_hook = "apachectl graceful-stop; sleep 2"'


def test_cli_ini_and_directory_hooks(config_dir: Path, context: mistakes.Context) -> None:
    (config_dir / "cli.ini").write_text("pre-hook = apachectl stop\nforce-renewal = True\ninstaller = guard\n# x = y\n")
    for name, mode in (("pre/stop.sh", 0o755), ("pre/off.sh", 0o644), ("pre/old.sh~", 0o755), ("deploy/reload", 0o755)):
        path = config_dir / "renewal-hooks" / name
        path.write_text("#!/bin/sh\n# apachectl stop\n" + ("apachectl graceful" if "deploy" in name else "apachectl "
                                                                                                         "stop"))
        path.chmod(mode)
    around = replace(context, installers={"a": "apache", "b": ""})
    found = mistakes.of_hooks(hookfiles.find(config_dir, [config_dir / "cli.ini"]), around)
    assert [(one.id, one.where.rsplit("/", 1)[1], one.instead) for one in found] == [
        (HOOK, "cli.ini, line 1", "pre-hook = systemctl stop apache2"), (FORCE, "cli.ini, line 2",
                                                                         "# force-renewal = True"),
        ("installer-over-others", "cli.ini, line 3", "# installer = guard"),
        (HOOK, "stop.sh, line 3", "systemctl stop apache2")]
    (config_dir / "cli.ini").write_text("\n".join(one.instead for one in found[:3]))
    assert len(mistakes.of_hooks(hookfiles.find(config_dir, [config_dir / "cli.ini"]), around)) == 1


def test_hooks_in_brackets(config_dir: Path, context: mistakes.Context) -> None:
    for number, hook in enumerate(("{ apachectl stop; }", "( apachectl graceful-stop; sleep 2 ) 2>/dev/null",
                                   "if true; then apachectl stop; fi", "apachectl $(cat /x; apachectl stop)",
                                   "( systemctl stop apache2 )", "echo 'x")):
        (config_dir / f"renewal/{number}.conf").write_text(f"[renewalparams]\npre_hook = {hook}\n")
    found = mistakes.of_hooks(hookfiles.find(config_dir), context)
    assert [(one.id, one.status, one.instead) for one in found] == [
        (HOOK, "problem", "pre_hook = { systemctl stop apache2; }"),
        (HOOK, "problem", "pre_hook = ( systemctl stop apache2; sleep 2 ) 2>/dev/null"),
        (HOOK, "problem", "pre_hook = if true; then systemctl stop apache2; fi"), (UNREAD, "warning", "")]


def test_where_certbot_has_no_files_there_is_nothing(tmp_path: Path, context: mistakes.Context) -> None:
    assert mistakes.everything(context, tmp_path / "none") == []


@pytest.mark.parametrize("command", ["PATH=/usr/local/bin:/bin certbot renew -q", "sudo certbot renew -q",
                                     ". /etc/profile; certbot renew -q"])
def test_a_line_that_looks_elsewhere_than_cron_is_left_alone(command: str, tmp_path: Path,
                                                             context: mistakes.Context) -> None:
    around = replace(context, find_program=lambda name: Path("/snap/bin", name))
    assert mistakes.of_job(job(f"0 3 * * * {command}", tmp_path), around) == []
    assert ids(mistakes.of_job(job("0 3 * * * certbot renew -q", tmp_path), around)) == {"program-not-found"}


def test_the_line_instead_starts_a_certbot_that_sees_the_plugin(bin_: Path, context: mistakes.Context) -> None:
    around = replace(context, certbot=Path("/opt/certbot/bin/certbot"), blind=frozenset({os.path.realpath(bin_ /
                                                                                         "certbot")}))
    (instead,) = {one.instead for one in mistakes.of_job(job(STORY, bin_), around)}
    assert instead.endswith("certbot-guard run --retry-for 6h -- /opt/certbot/bin/certbot renew --quiet")


# -- hostile text ------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.text(alphabet=some.sampled_from("a \t\\'\"`$(){}&|;<>#%=-\0\x1b\ud800é"), max_size=40),
       some.sampled_from(["certbot renew --force-renewal", "apachectl stop && certbot renew",
                          "certbot renew >/dev/null 2>&1",
                          "sh -c 'apachectl stop; certbot renew'"]), some.booleans())
def test_no_text_around_certbot_is_too_odd(odd: str, known: str, behind: bool) -> None:
    around = mistakes.Context(systemd=True, debian=True, find_program=lambda _name: None)
    command = f"{known} {odd}" if behind else f"{odd} {known}"
    for made in (job(f"0 3 1 * * x{command}"), job(f"0 3 1 * * {command}"), script(command + "\ncertbot renew"),
    unit(command)):
        for result in mistakes.of_job(made, around):
            if result.instead and made.under == "cron":
                assert mistakes.of_job(job(result.instead.split("\n")[-1]), around) == []
    hook = hookfiles.Hook(Path("/x"), 1, "pre-hook", command, f"pre_hook = {command}")
    mistakes.of_hooks([hook], around)


@pytest.mark.parametrize("piece", ["apachectl stop && certbot renew && apachectl start && ", "certbot renew;",
                                   "sh -c '", "%", "certbot-guard run -- "])
def test_a_line_of_100_kB_takes_no_long_time(piece: str, context: mistakes.Context) -> None:
    began = time.process_time()
    for size in (12_000, 100_000):
        line = "certbot renew --force-renewal " + piece * (size // len(piece))
        mistakes.of_job(job("0 3 1 * * " + line), context)
        mistakes.of_job(unit(line), context)
        mistakes.of_job(script(line), context)
    assert time.process_time() - began < 3


def test_the_line_instead_starts_a_certbot_guard_that_is_there(context: mistakes.Context, tmp_path: Path) -> None:
    """In certbot's snap none is beside the Python."""
    line = job("0 4 * * * apachectl stop && /snap/bin/certbot renew && apachectl start")
    place = Path("/usr/local/sbin/certbot-guard")
    around = replace(context, find_program=lambda name: {"certbot-guard": place}.get(name), python=tmp_path)
    (found,) = [one for one in mistakes.of_job(line, around) if one.id == STOP]
    assert f"{place} run --retry-for 6h -- /snap/bin/certbot renew" in (found.instead or "")
    (tmp_path / "certbot-guard").touch()
    (found,) = [one for one in mistakes.of_job(line, around) if one.id == STOP]
    assert f"{tmp_path}/certbot-guard run" in (found.instead or "")
