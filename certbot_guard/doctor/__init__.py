"""``certbot-guard doctor``: looks for what will make a renewal fail, go unguarded or go unheard on this machine.

Changes nothing and sends no message. :mod:`~certbot_guard.doctor.catalogue` has every check, each a function of a
:class:`~certbot_guard.doctor.host.Host`; :mod:`~certbot_guard.doctor.running` runs them,
:mod:`~certbot_guard.doctor.showing` shows what they found.
"""
