"""certbot-guard: Apache comes back after a certificate renewal, and people hear of every failure.

The plugin writes down what certbot did; settle reads it, brings Apache back, then tells people; the sentinel
calls settle when certbot no longer can.
"""

__version__ = "0.1.0"
