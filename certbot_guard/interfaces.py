"""The two contracts a third party can fulfil, in zope.interface: a web server, and a way to reach people.

An implementation declares ``@implementer(IWebServer)``; :func:`zope.interface.verify.verifyObject` holds for each of
ours in a test, and for a third party's when it is loaded from the entry point group ``certbot_guard.servers``.
"""

from zope.interface import Attribute, Interface


class IWebServer(Interface):
    """One web server that may have to be stopped for a challenge, and must come back.

    Every method is called as root, from a process without a terminal whose working directory is ``/``. None takes a
    lock and none writes to the journal: the caller does. What they return is plain JSON data, so that a process
    started later, perhaps after a reboot, can be handed it.
    """

    name = Attribute("What a person calls it: 'apache2.service', '/usr/sbin/apache2ctl'. One line, no secret.")
    identity = Attribute(
        "A short string, equal for two controllers of one server on this machine: the machine-wide lock's name."
    )

    def check() -> None:
        """Return if the server, stopped now, would start again with the files on disk.

        :raises certbot_guard.errors.ConfigtestError: its own configuration test fails, or a certificate it loads
            does not fit its key, or cannot be parsed.
        :raises certbot_guard.errors.ServerError: it could not be found out.
        """

    def look() -> dict:
        """What is true of the running server now: the snapshot that :meth:`start` and :meth:`serving` are given.

        The keys ``serving`` (bool) and ``sockets`` (a list of ``{"address": str, "port": int, "gave":
        "http" | "tls" | "connection"}``, only those that answered) are always there; the rest is the
        implementation's own (pid, start time, unit, its state, units that require it).
        """

    def claims(port: int, address: str) -> bool:
        """Does the configured server itself listen where a challenge server bound to ``address`` needs ``port``?

        :param address: the address to be bound, ``""`` for every one.
        :raises certbot_guard.errors.ForeignOwnerError: another process does.
        """

    def stop(snapshot: dict, ports: list) -> None:
        """Stop the server of ``snapshot``; return as soon as nothing of it listens on ``ports``.

        Requests in flight may go on. Signals go to the process in the snapshot alone (pid and start time).

        :raises certbot_guard.errors.ServerError: it still listens, after the implementation's own patience.
        """

    def start(snapshot: dict, drain_seconds: float) -> None:
        """One attempt: the server serves again as the snapshot says, or an error says why not.

        Starting a server that serves changes nothing. Afterwards each socket of the snapshot gave what it gave
        before. Whatever keeps a start from happening and is ours to clear (an old parent that still drains after
        ``drain_seconds``, a stale pid file, a start limit) has been cleared.

        :raises certbot_guard.errors.LeftDownError: a person masked or disabled it since the snapshot.
        :raises certbot_guard.errors.ServerError: it does not serve; ``detail`` has the server's own words.
        """

    def serving(snapshot: dict) -> bool:
        """Does each socket of the snapshot give what it gave then, and do the sockets belong to the server?"""

    def reload() -> None:
        """The running server has loaded its configuration and certificates anew, and still serves.

        :raises certbot_guard.errors.RefusedError: not attempted, since :meth:`check` says it would not survive, or
            since it does not run.
        :raises certbot_guard.errors.ServerError: it was attempted and failed.
        """


class INotifier(Interface):
    """A way to hand a message to people."""

    def deliver(messages: list, deadline_seconds: float) -> list:
        """Try each ``(channel, message)`` once, all in parallel; return one ``Delivery`` for each, in their order.

        Returns after ``deadline_seconds`` at the latest; whatever hangs then is killed and counts as failed. Never
        raises for a channel that fails.
        """
