"""``certbot-guard report``: an overview as one HTML page that needs nothing but itself. Pure: it was gathered before.

:func:`certbot_guard.pages.whole.render` makes it; each other module makes one section.
"""
