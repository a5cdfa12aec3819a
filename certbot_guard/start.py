"""The words that start a module of ours in a process of its own; and the program that starts one where Python cannot.

Each is isolated, ``python -I -m MODULE``. certbot also takes plugins from directories that CERTBOT_PLUGIN_PATH names,
as its snap does for plugins that are snaps, and adds them to the module path of its own process alone. Where it found
us so, the words are ``python -I /…/certbot_guard/start.py MODULE ARGUMENT...``: that finds the rest of us, and Apprise,
in the same place, and what the Python has itself comes first, as it does in certbot.
"""

import os
import sys

# Set in a process that began here: what it starts has to begin here, too.
_MARK = "certbot_guard_was_added"


def python() -> str:
    return sys.executable or "/usr/bin/python3"


def command(module: str, *arguments: str) -> list[str]:
    """The words that run this module, ``certbot_guard.hooks``, of the very copy of us that is running."""
    return [python(), "-I", *([os.path.abspath(__file__)] if _was_added() else ["-m"]), module, *arguments]


def _was_added() -> bool:
    named = os.environ.get("CERTBOT_PLUGIN_PATH", "").split(":")
    return hasattr(sys, _MARK) or any(one and os.path.realpath(one) == os.path.realpath(_home()) for one in named)


def _home() -> str:
    """The directory that certbot_guard is in."""
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _main() -> None:
    import runpy

    del sys.argv[0]
    sys.path.append(_home())
    setattr(sys, _MARK, True)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
