"""Apache's envvars file, as far as it can be read without running it: it is a shell script."""

from __future__ import annotations

import os
import re

from certbot_guard import plainfile

_LIMIT_BYTES = 1024 * 1024


def read(environment: dict[str, str]) -> dict[str, str]:
    """Its plain assignments, by name; the rest is not understood.

    :param environment: APACHE_ENVVARS or APACHE_CONFDIR in it say where the file is
    """
    path = environment.get("APACHE_ENVVARS") or os.path.join(
        environment.get("APACHE_CONFDIR") or "/etc/apache2", "envvars")
    try:
        text = plainfile.read(path, _LIMIT_BYTES).decode("utf-8", "replace")
    except OSError:
        return {}
    found: dict[str, str] = {"SUFFIX": ""}
    for name, value in re.findall(r"(?:^|\s)([A-Z_]+)=([^\s;#]+)", re.sub(r"^[^\S\n]*#.*$", "", text, flags=re.M)):
        value = re.sub(r"\$\{?([A-Z_]+)\}?", lambda match: found.get(match.group(1), match.group(0)), value)
        if "$" not in value:
            found[name] = value.strip("\"'")
    return found
