"""A challenge through a running Apache: certbot's challenge server listens on the loopback, Apache hands its path over.

Every part is a noun of its own: the text of the configuration file (snippet.py), where it may stand (placement.py), the
modules it needs (modules.py), whether there is room for the reloads (room.py), the port behind it (loopback.py), the
file itself on the disk (ourfile.py), its coming and going (placing.py), and the look from outside that decides
whether it works for each name (selfcheck.py, with asking.py, addresses.py and responder.py). Knows nothing of certbot,
of runs or of messages.
"""
