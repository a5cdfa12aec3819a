"""``python -I -m certbot_guard.cli``: the command, for our own processes."""

from certbot_guard.cli import main

main()
