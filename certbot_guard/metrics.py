"""What there is to count, as Prometheus reads it (https://prometheus.io/docs/instrumenting/exposition_formats/).

Only reads: certbot's files and logs, the state databases, the runs that are open. Called by ``certbot-guard metrics``,
and at the end of each settle and watch where ``[metrics] textfile`` is set. Needs prometheus_client, which only who
wants this installs. The words are here, what is counted is :mod:`certbot_guard.counts`.

The numbers about runs are gauges over the history that is kept (400 days or 2,000 runs): it is pruned, so none of them
is a counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from certbot_guard import __version__, stakes, textfile
from certbot_guard.config import Config
from certbot_guard.counts import Counts, Directory, count
from certbot_guard.errors import GuardError
from certbot_guard.run import utc_now
from certbot_guard.stakes import Validity

PREFIX = "certbot_guard_"
MISSING = ("metrics need prometheus_client, which is not installed; into the same environment as certbot-guard: "
           "pip install 'certbot-guard[metrics]', or the distribution's python3-prometheus-client")
_OF_A_LINEAGE = ("config_dir", "lineage")
_OF_A_DIRECTORY = ("config_dir",)


class MetricsError(GuardError):
    """There are no metrics; the sentence says why."""


def exposition(config: Config, bases: list[Path], config_dirs: Optional[list[Path]] = None,
               serving: Optional[bool] = None, now: Optional[datetime] = None) -> bytes:
    """All of it as text, for a scrape or a file.

    :param config_dirs: certbot's configuration directories; None: those that ``certbot-guard watch`` looks at
    :param serving: whether the web server serves; None: as the newest watch has seen it, if any did
    :raises MetricsError: prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError as error:
        raise MetricsError(MISSING) from error
    now = now or utc_now()
    found = count(config, bases, config_dirs, now)
    registry = CollectorRegistry(auto_describe=False)  # its own: nothing about this process is of interest
    registry.register(_Families([one for one in _families(found, serving, now) if one.samples]))
    return bytes(generate_latest(registry))


def write(config: Config, bases: list[Path], config_dirs: Optional[list[Path]], path: Path,
          serving: Optional[bool] = None, now: Optional[datetime] = None) -> None:
    """``path`` holds all of it, whole, mode 0644.

    :raises GuardError: it could not be written, or there is nothing to write it with; what was there is as it was.
    """
    textfile.write(path, exposition(config, bases, config_dirs, serving, now))


def written_if_configured(config: Config, bases: list[Path], serving: Optional[bool] = None) -> Optional[str]:
    """What ``[metrics] textfile`` names is as things are now; otherwise why not, in a sentence. Never raises."""
    if config.metrics_textfile is None:
        return None
    try:
        write(config, bases, None, config.metrics_textfile, serving)
    except GuardError as error:
        return str(error)
    except Exception as error:  # a number that nobody sees must not keep a run from ending
        return f"the metrics were not written: {type(error).__name__}: {error}"
    return None


def label(value: Any) -> str:
    """A text as a label's value: what is not printable, and ``%``, percent-encoded. Two texts never become one: a
    series that is there twice makes node_exporter refuse the whole file."""
    return "".join(letter if letter.isprintable() and letter != "%" else _percent(letter) for letter in str(value))


def _percent(letter: str) -> str:
    # A byte of a file's name that is no UTF-8 is a lone surrogate.
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogateescape"
                                                            if "\udc80" <= letter <= "\udcff" else "surrogatepass"))


class _Families:
    """What a registry collects from."""

    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> Iterable[Any]:
        return self._families


Row = tuple[tuple[Any, ...], Optional[float]]


def _families(found: Counts, serving: Optional[bool], now: datetime) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    def gauge(name: str, words: str, rows: Iterable[Row], labels: tuple[str, ...] = ()) -> Any:
        """A row whose value is not known is left out: an alert must not take it for a zero."""
        made = GaugeMetricFamily(PREFIX + name, words, labels=labels)
        for values, value in rows:
            if value is not None:
                made.add_metric([label(one) for one in values], float(value))
        return made

    yield gauge("build_info", "The versions that are installed; always 1.", [((__version__, found.certbot_version), 1)],
                ("version", "certbot_version"))
    yield gauge("metrics_timestamp_seconds", "When these numbers were taken.", [((), now.timestamp())])
    yield from _of_lineages(found.directories, gauge)
    yield from _of_runs(found.directories, gauge)
    known = found.serving if serving is None else serving
    yield gauge("web_server_serving", "Whether the web server serves (1) or not (0), as it was seen last.",
                [((), known)])
    yield gauge("last_watch_timestamp_seconds", "When certbot-guard watch looked last.",
                [((), _seconds(found.watched))])
    yield gauge("undelivered_messages", "Messages that wait for this channel.",
                [((channel,), number) for channel, number in found.undelivered.items()], ("channel",))
    yield gauge("unfinished_runs", "Runs whose certbot is gone and that nobody has ended yet.",
                [((), found.unfinished)])
    yield gauge("standing_troubles", "Troubles that people were told of and that are not over.",
                [((severity,), found.troubles.get(severity, 0)) for severity in stakes.SEVERITIES], ("severity",))
    yield gauge("state_readable", "Whether every state database could be read (1); if not, what it knows is missing.",
                [((), found.state_readable)])


def _of_lineages(directories: list[Directory], gauge: Any) -> Iterator[Any]:
    def rows(value: Any) -> list[Row]:
        return [((one.path, lineage.name), value(lineage)) for one in directories for lineage in one.lineages]

    yield gauge("certificate_not_after_timestamp_seconds", "When the certificate on the disk expires.",
                rows(lambda one: _seconds(one.validity.not_after) if one.validity else None), _OF_A_LINEAGE)
    yield gauge("certificate_not_before_timestamp_seconds", "From when on the certificate on the disk is valid.",
                rows(lambda one: _seconds(one.validity.not_before) if one.validity else None), _OF_A_LINEAGE)
    yield gauge("certificate_lifetime_seconds", "How long the certificate on the disk is valid in all.",
                rows(lambda one: _lifetime(one.validity)), _OF_A_LINEAGE)
    yield gauge("lineage_readable", "Whether the renewal configuration and its certificate can be read (1).",
                rows(lambda one: one.readable), _OF_A_LINEAGE)
    yield gauge("lineage_guarded", "Whether the renewal configuration says installer = guard (1).",
                rows(lambda one: one.guarded), _OF_A_LINEAGE)


def _of_runs(directories: list[Directory], gauge: Any) -> Iterator[Any]:
    def rows(value: Any) -> list[Row]:
        return [((one.path,), value(one)) for one in directories]

    yield gauge("last_run_timestamp_seconds", "When certbot renew began last, by its log and by the history.",
                rows(lambda one: _seconds(one.last_run)), _OF_A_DIRECTORY)
    yield gauge("last_run_success", "Whether the last certbot renew went well (1) or not (0).",
                rows(lambda one: one.last_run_ok), _OF_A_DIRECTORY)
    yield gauge("last_success_timestamp_seconds", "When the last certbot renew that went well began.",
                rows(lambda one: _seconds(one.last_success)), _OF_A_DIRECTORY)
    yield gauge("last_run_longest_outage_seconds", "The longest time that the web server was stopped in the last run "
                "of the history.", rows(lambda one: one.last_outage_seconds), _OF_A_DIRECTORY)
    yield gauge("history_runs", "Runs in the history that is kept.", rows(lambda one: one.runs), _OF_A_DIRECTORY)
    yield gauge("history_outages", "Times that the web server was stopped, in the history that is kept.",
                rows(lambda one: len(one.outages)), _OF_A_DIRECTORY)
    yield gauge("history_outage_seconds", "How long the web server was stopped in all, in the history that is kept.",
                rows(lambda one: sum(one.outages)), _OF_A_DIRECTORY)
    yield gauge("history_longest_outage_seconds", "The longest time that the web server was stopped, in the history "
                "that is kept.", rows(lambda one: max(one.outages, default=0)), _OF_A_DIRECTORY)
    yield gauge("history_challenges_let_through", "Challenges that were let through the running web server, which was "
                "not stopped for them, in the history that is kept.", rows(lambda one: one.let_through),
                _OF_A_DIRECTORY)
    yield gauge("history_challenges_not_let_through", "Challenges that could not pass through the running web server, "
                "in the history that is kept.", rows(lambda one: one.not_let_through), _OF_A_DIRECTORY)


def _seconds(when: Optional[datetime]) -> Optional[float]:
    return when.timestamp() if when is not None else None


def _lifetime(validity: Optional[Validity]) -> Optional[float]:
    return validity.lifetime.total_seconds() if validity is not None and validity.lifetime is not None else None
