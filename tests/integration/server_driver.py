"""Calls one method of a web server's controller, prints what came of it as JSON. Runs in a systemd-box.

``server_driver.py CONTROL METHOD [ARGUMENT...]``: arguments are JSON, ``@FILE`` stands for the JSON in a
file, and ``>FILE`` keeps the result there, and ``!COMMAND`` runs a shell command and then calls the method
once more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from certbot_guard import servers
from certbot_guard.config import ServerConfig
from certbot_guard.errors import GuardError


def main(control: str, method: str, *words: str) -> None:
    arguments = []
    keep = between = None
    for word in words:
        if word.startswith(">"):
            keep = word[1:]
        elif word.startswith("!"):
            between = word[1:]
        else:
            arguments.append(json.loads(Path(word[1:]).read_text() if word.startswith("@") else word))
    answer: dict = {"error": None}
    began = time.monotonic()
    try:
        server = servers.find(ServerConfig(control=control, test_command=os.environ.get("TEST_COMMAND")),
                              dict(os.environ))
        answer["name"], answer["identity"] = server.name, server.identity
        answer["class"] = type(server).__name__
        began = time.monotonic()
        result = getattr(server, method)(*arguments) if method != "-" else None
        if between:
            subprocess.run(between, shell=True, check=False)
            result = getattr(server, method)(*arguments)
        answer["result"] = result
        if keep:
            Path(keep).write_text(json.dumps(result))
    except GuardError as error:
        answer.update(
            error=type(error).__name__,
            text=str(error),
            detail=getattr(error, "detail", ""),
            owner=getattr(error, "owner", None),
        )
    answer["seconds"] = time.monotonic() - began
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
