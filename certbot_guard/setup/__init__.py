"""``certbot-guard setup``: from a fresh installation to a guarded machine, one step after the other.

Each step looks, shows what it would do, asks, and then does it. ``steps`` has them in their order: ``surveying`` says
what is on this machine, ``telling`` asks for ``channels`` and writes them, ``guarding`` does the rest. ``work`` is what
each has in its hands: ``asking`` asks, ``stopping`` has a Ctrl-C wait for the end of a write, ``machine`` is all that
they do outside of themselves, ``tally`` keeps what came of it, ``masking`` has no URL shown.
"""
