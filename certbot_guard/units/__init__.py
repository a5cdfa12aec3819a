"""What starts us when certbot does not: systemd's units, or a cron.d file where there is no systemd.

``planning`` says which files there should be, ``files`` puts them there and takes them away, ``managing`` tells
systemd, ``failure`` reads what a unit died of. Called by ``certbot-guard units`` and ``certbot-guard unit-failed``
alone; no run of certbot depends on it.
"""
