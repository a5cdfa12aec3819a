"""Registering our hooks with certbot so that none of them can reach a renewal configuration.

certbot reads hooks as attributes of its configuration (``config.pre_hook``) and saves what is in the dictionary of the
argparse namespace behind it (``vars(config.namespace)``: 1.12 to 5.8, storage.py relevant_values). A class attribute
that answers the first and leaves the second alone gives certbot our command for as long as this process lives, while
every save writes the user's own value. So there is nothing to put back after a crash, and nothing to find after an
uninstall. ``namespace`` is a documented attribute of the public :class:`certbot.configuration.NamespaceConfig`.
"""

from __future__ import annotations

import os
from typing import Any, Optional

# Under renew the deploy hook is read as ``renew_hook`` up to certbot 5.2 and as ``deploy_hook`` from 5.3.
_DEPLOY_NAMES = ("deploy_hook", "renew_hook")


class AndGuard(str):
    """Our hook command, which runs the user's own as well; certbot's bookkeeping takes it for the user's.

    certbot runs each distinct command once (pre and post hooks) and compares commands for that. This one is equal to
    the user's, so a lineage without a guard that shares his hook does not run it a second time.
    """

    own: str

    def __new__(cls, command: str, own: str) -> AndGuard:
        made = super().__new__(cls, command)
        made.own = own
        return made

    def __eq__(self, other: object) -> bool:
        theirs = other.own if isinstance(other, AndGuard) else other
        return str.__eq__(self, other) is True or str.__eq__(self.own, theirs) is True

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.own)

    def __deepcopy__(self, _memo: Any) -> AndGuard:
        return self

    def __getnewargs__(self) -> tuple[str, str]:
        return (str(self), self.own)


def own_hooks(config: Any) -> dict[str, Optional[str]]:
    """The user's own hooks for this lineage: ``pre_hook``, ``deploy_hook`` and ``post_hook``, None where he has none."""
    saved = vars(config.namespace)
    deploy = next((saved[name] for name in _DEPLOY_NAMES if saved.get(name)), None)
    return {"pre_hook": saved.get("pre_hook") or None, "deploy_hook": deploy,
            "post_hook": saved.get("post_hook") or None}


def in_directory(config: Any, hook: Optional[str], directory: str) -> bool:
    """Is this hook also one of the executables certbot runs from ``renewal-hooks/``? Then it is not run twice."""
    return bool(hook and getattr(config, "directory_hooks", False) and os.path.dirname(hook) == directory
                and os.access(hook, os.X_OK) and not hook.endswith("~"))


def directory_hooks(config: Any, stage: str) -> bool:
    """Does certbot run something from ``renewal-hooks/STAGE``?"""
    try:
        return bool(getattr(config, "directory_hooks", False)
                    and os.listdir(getattr(config, f"renewal_{stage}_hooks_dir")))
    except OSError:
        return False


def has_pre_hook(config: Any) -> bool:
    """Will something of the user's run before this lineage's challenge, or has it already for an earlier one?"""
    return bool(own_hooks(config)["pre_hook"]) or directory_hooks(config, "pre")


def register(config: Any, pre: Optional[str], deploy: str, post: str) -> None:
    """certbot runs these commands for this lineage; what is saved of it stays as the user wrote it."""
    answers = {"post_hook": post, **{name: deploy for name in _DEPLOY_NAMES if name in vars(config.namespace)}}
    if pre is not None:
        answers["pre_hook"] = pre
    _answer(config.namespace, answers)


def keep_installer(config: Any, named_in_file: str) -> None:
    """This lineage's renewal configuration keeps the installer it names, whatever is said on the command line."""
    _answer(config.namespace, {"installer": config.installer})
    vars(config.namespace)["installer"] = named_in_file


def own_listener(config: Any) -> tuple[int, str]:
    """Where the user has certbot's challenge server listen: the port, and the address or ``""`` for all."""
    saved = vars(config.namespace)
    return int(saved["http01_port"]), str(saved.get("http01_address") or "")


def listen_at(config: Any, address: str, port: int) -> None:
    """certbot's challenge server listens here for this lineage; what is saved of it stays as the user wrote it.

    Setting the options would not do: certbot (2.1 to 5.8, measured) then saves them.
    """
    _answer(config.namespace, {"http01_port": port, "http01_address": address})


def _answer(namespace: Any, answers: dict[str, Any]) -> None:
    made = {name: _shadow(name, value) for name, value in answers.items()}
    base = type(namespace)
    namespace.__class__ = type(base.__name__, (base,), made)


def _shadow(name: str, value: Any) -> property:
    def get(_namespace: Any) -> Any:
        return value

    def put(namespace: Any, new: Any) -> None:
        # certbot writes the chosen installer back (record_chosen_plugins); what is saved is not to change by that.
        if name != "installer":
            vars(namespace)[name] = new

    return property(get, put)
