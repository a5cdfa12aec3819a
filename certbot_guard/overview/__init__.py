"""What ``status``, ``history`` and ``report`` show: gathered once, from files, state databases and the web server.

Nothing here changes anything: no database is made, upgraded or repaired, no lock file is made, nothing is started. What
cannot be found out is said to be not known. :func:`~certbot_guard.overview.gathering.gather` is where it begins.
"""
