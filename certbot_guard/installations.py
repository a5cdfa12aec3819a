"""The certbots of this machine: which there are, in which Python each runs, and whether it would load our plugin.

Looks, changes nothing, never raises. What it starts is a certbot's own Python with ``-I`` and a few lines of ours, or
``certbot --version`` where the Python is not known; and only what nobody but root, or the user we are, could have put
there. Used by doctor and setup, for the certbot that a timer or a crontab line starts as well as for those on PATH.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Iterable, Optional, Sequence

from certbot_guard import interpreters, launch, plainfile, text
from certbot_guard.servers import execute

# A cold start of Python, certbot and its plugins on a slow disk
SECONDS = 20.0
_PLACES = ("/usr/bin", "/usr/local/bin", "/snap/bin")
_ENVIRONMENTS = ("opt/*/bin", "root/.local/bin")
_DPKG_LIST = Path("/var/lib/dpkg/info/certbot.list")
_DPKG_LIST_LIMIT_BYTES = 1024 * 1024
# snapd puts one program there for all of its applications: /snap/bin/certbot leads to /usr/bin/snap
_SNAP = "/usr/bin/snap"
_SNAPS = Path("/snap")
_SNAP_YAML = Path("/snap/certbot/current/meta/snap.yaml")
_SNAP_YAML_LIMIT_BYTES = 100_000
_VERSION = re.compile(r"certbot (\d[\w.+-]{0,30})")
# Told by the certbot's own Python, whose language may be as old as 3.6: no certbot that has our plugin is that old.
_QUESTION = r"""
import json, sys
found = {"version": "", "installer": "", "sees": False, "error": ""}
try:
    from importlib import metadata
    one = metadata.distribution("certbot")
    found["version"] = one.version
    found["installer"] = (one.read_text("INSTALLER") or "").strip()
    points = metadata.entry_points()
    points = points.select(group="certbot.plugins") if hasattr(points, "select") else points.get("certbot.plugins", ())
    for point in points:
        if point.name == "guard":
            try:
                point.load()
                found["sees"] = True
            except BaseException as error:
                found["error"] = type(error).__name__ + ": " + str(error)[:200]
except ImportError:
    found["error"] = "none"
sys.stdout.write("\n=" + json.dumps(found) + "\n")
"""

Ask = Callable[[Sequence[str], float], execute.Result]


@dataclass(frozen=True)
class Installation:
    """One certbot on this machine.

    :ivar program: /usr/bin/certbot
    :ivar kind: ``pip``, ``debian``, ``rpm``, ``snap`` or ``other``
    :ivar python: the interpreter in whose environment it runs; None: not known
    :ivar version: ``5.8.0``; empty where it cannot be asked
    :ivar sees_guard: whether it would load our plugin; None: not known
    :ivar ours: it runs in the Python that this command runs in
    :ivar problem: why something above is not known, one sentence
    """

    program: Path
    kind: str
    python: Optional[Path]
    version: str
    sees_guard: Optional[bool]
    ours: bool
    problem: str = ""


def find(path: Optional[str] = None, root: Path = Path("/"), ask: Optional[Ask] = None) -> list[Installation]:
    """Every certbot that is found beside us, on PATH and where installers put one; each once, ours first.

    :param path: instead of this process's PATH
    :param root: where the file system begins that is looked at
    """
    programs: dict[str, Path] = {}
    for program in _candidates(os.environ.get("PATH", "") if path is None else path, root):
        programs.setdefault(_identity(program), program)
    with ThreadPoolExecutor(max_workers=4) as threads:
        found = list(threads.map(lambda program: of_program(program, ask), programs.values()))
    return sorted(found, key=lambda one: not one.ours)


def of_program(program: Path, ask: Optional[Ask] = None) -> Installation:
    """What is to be known of one certbot. Never raises."""
    try:
        return _of_program(Path(program), ask or _ask)
    except Exception as error:  # a program that is not what it seems; nobody is to fail of that
        return Installation(Path(program), "other", None, "", None, False, f"it cannot be looked at: "
            f"{text.line(error, 200)}")


def how_to_install_guard(one: Installation) -> str:
    """What a person is to do so that this certbot sees our plugin: a command, or a sentence with one."""
    inside = os.path.realpath(one.program)
    if one.kind == "pip" and "/pipx/" in inside:
        return "pipx inject certbot certbot-guard"
    if one.kind == "pip" and "/uv/tools/" in inside:
        return "uv tool install --with certbot-guard certbot"
    if one.kind in ("pip", "other") and one.python is not None:
        pip = one.python.parent / "pip"
        return f"{shlex.quote(str(pip))} install certbot-guard" if os.path.exists(pip) else (
            f"{shlex.quote(str(one.python))} -m pip install certbot-guard")
    if one.kind in ("debian", "rpm", "snap"):
        whose = {"debian": "the distribution's Python, into which pip installs nothing", "rpm": "the distribution's "
                 "Python, into which pip should install nothing", "snap": "a snap, which loads only plugins that are "
                                                             "snaps"}[one.kind]
        return (f"it lives in {whose}. Make an environment for both: python3 -m venv /opt/certbot && "
                "/opt/certbot/bin/pip install certbot certbot-guard; and have /opt/certbot/bin/certbot started instead")
    return "install certbot-guard with pip in the Python environment that this certbot runs in"


# -- where to look -----------------------------------------------------------------------------------------------------


def _candidates(path: str, root: Path) -> Iterable[Path]:
    beside = Path(sys.executable or "/nonexistent").parent
    directories = [beside] if root == Path("/") else []
    directories += [Path(entry) for entry in path.split(":") if entry.startswith("/")]
    directories += [root / place.lstrip("/") for place in _PLACES]
    for pattern in _ENVIRONMENTS:
        try:
            directories += sorted(root.glob(pattern))[:100]
        except OSError:
            continue
    for directory in dict.fromkeys(directories):
        if _SNAPS in directory.parents and directory != _SNAPS / "bin":
            continue  # what snapd starts there, it starts with an environment of its own, by /snap/bin/certbot
        program = directory / "certbot"
        try:
            if program.is_file() and os.access(program, os.X_OK):
                yield program
        except OSError:
            continue


def _identity(program: Path) -> str:
    real = os.path.realpath(program)
    return "snap:certbot" if real == _SNAP else real


# -- one of them -------------------------------------------------------------------------------------------------------


def _of_program(program: Path, ask: Ask) -> Installation:
    real = Path(os.path.realpath(program))
    if str(real) == _SNAP or str(program).startswith("/snap/"):
        return _of_snap(program, ask)
    blank = Installation(program, "debian" if _is_debians(program, real) else "other", None, "", None, False)
    if not os.path.exists(real):
        return replace(blank, problem=f"there is no {text.line(program, 200)}")
    problem = interpreters.not_ours_alone(real)
    if problem:
        return replace(blank, problem=problem)
    python = interpreters.of_script(real)
    if python is None:
        said = _VERSION.search(_output(ask([str(real), "--version"], SECONDS)))
        return replace(blank, version=said[1] if said else "", problem="it is no Python script with its interpreter in "
                       "its first line, so which plugins it loads is not known")
    blank = replace(blank, python=python, ours=interpreters.is_this(python))
    problem = interpreters.not_ours_alone(python) or interpreters.not_ours_alone(Path(os.path.realpath(python)))
    if problem:
        return replace(blank, problem=problem)
    answer = _answer(_output(ask([str(python), "-I", "-c", _QUESTION], SECONDS)))
    if answer is None:
        return replace(blank, problem=f"{text.line(python, 200)} does not say what is installed in it")
    return _with_answer(blank, answer)


def _of_snap(program: Path, ask: Ask) -> Installation:
    """It loads plugins that are snaps alone, and of these the ones that somebody connected to it."""
    own = os.path.realpath(Path(sys.executable or "/nonexistent").parent)
    blank = Installation(program, "snap", None, _snap_version(), False,
                         own == os.path.realpath(_SNAPS / "certbot/current/bin"))
    if not os.path.isdir(_SNAPS / "certbot-guard/current"):
        return blank
    # For each connection a line: interface, plug, slot, notes.
    answer = ask([_SNAP, "connections", "certbot"], SECONDS)
    if answer.code != 0:
        return replace(blank, sees_guard=None, problem="snapd does not say whether certbot-guard's snap is connected")
    return replace(blank, sees_guard=bool(re.search(r"\scertbot:plugin\s+certbot-guard:", answer.output)))


def _with_answer(blank: Installation, answer: dict[str, Any]) -> Installation:
    kind, installer, error = blank.kind, str(answer.get("installer")), str(answer.get("error") or "")
    if kind == "other":
        kind = "rpm" if installer == "rpm" else "debian" if installer == "debian" else "pip"
    sees = bool(answer.get("sees"))
    version = text.line(answer.get("version") or "", 40)
    if not version:
        return replace(blank, sees_guard=None, problem="its Python does not know a package called certbot")
    broken = error and not sees
    problem = f"the plugin is installed there and cannot be loaded: {text.line(error, 200)}" if broken else ""
    return replace(blank, kind=kind, version=version, sees_guard=sees, problem=problem)


def _is_debians(program: Path, real: Path) -> bool:
    try:
        listed = plainfile.whole(_DPKG_LIST, _DPKG_LIST_LIMIT_BYTES).decode("utf-8", "replace").split("\n")
    except OSError:
        return False
    return str(real) in listed or str(program) in listed and not program.is_symlink()


def _snap_version(path: Path = _SNAP_YAML) -> str:
    try:
        said = plainfile.read(path, _SNAP_YAML_LIMIT_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    match = re.search(r"^version:\s*'?\"?([\w.+-]{1,30})", said, re.MULTILINE)
    return match[1] if match else ""


def _ask(command: Sequence[str], seconds: float) -> execute.Result:
    return execute.run(command, launch.surroundings(), seconds, limit_bytes=64 * 1024)


def _output(result: execute.Result) -> str:
    return result.output if result.code == 0 else ""


def _answer(output: str) -> Optional[dict[str, Any]]:
    """Whatever else its Python printed (warnings, as the distribution's do), the last line with our mark counts."""
    for line in reversed(output.split("\n")):
        if line.startswith("="):
            try:
                found = json.loads(line[1:])
            except ValueError:
                return None
            return found if isinstance(found, dict) else None
    return None
