"""``certbot-guard run``: any command, supervised: what it is and does stays as it was, and no failure of it is silent.

:mod:`~certbot_guard.supervise.command` runs it once, :mod:`~certbot_guard.supervise.retry` says whether and when it is
tried again, :mod:`~certbot_guard.supervise.holding` keeps the news of an attempt back until the last one is over, and
:mod:`~certbot_guard.supervise.attempts` puts them together. Nothing is imported here: telling asks ``holding``.
"""
