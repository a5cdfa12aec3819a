"""The Ansible role, by the real ansible-playbook: on a machine without systemd, and on one with it.

``python -m tests.integration.test_ansible inside`` is what runs there: a certbot in ``/opt/certbot`` and a lineage, the
plays one after another, and what came of each as JSON.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Iterator, Optional

import pytest

from tests.support.box import BOX, CANNOT_RUN, CHECKOUT, CLEAN_ROOT, booted, skip_where_it_is_not_seen

ROLES = CHECKOUT / "contrib" / "ansible" / "roles"
NAME, SECRET = "www.example.com", "s3cret-path"
BEGIN = "-----RESULTS-----"
VENV, ETC = Path("/opt/certbot"), Path("/etc/letsencrypt")
RENEWAL = ETC / "renewal" / f"{NAME}.conf"


def ansible_playbook() -> Optional[Path]:
    """Of .tools/python (script/bootstrap --all), else the one in PATH."""
    ours = CHECKOUT / ".tools" / "python" / "bin" / "ansible-playbook"
    found = str(ours) if ours.exists() else shutil.which("ansible-playbook")
    return Path(found) if found else None


pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(ansible_playbook() is None, reason="there is no ansible-playbook, in .tools/python or in PATH"),
    pytest.mark.timeout(1000)]


# -- inside ------------------------------------------------------------------------------------------------------------


class Machine:
    """A certbot in /opt/certbot that has never seen certbot-guard, and a lineage."""

    def __init__(self, wheel: Path) -> None:
        from tests.support.setting_up import Stage
        from tests.support.webhook import Webhook

        self.hook = Webhook()
        self.url = self.hook.url(SECRET)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], check=True, timeout=120)
        packages = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
        shutil.copytree(Path(sys.prefix, packages), VENV / packages, dirs_exist_ok=True, symlinks=True,
                        ignore=shutil.ignore_patterns("certbot_guard*", "__editable__*", "hypothesis*"))
        for name, module in (("certbot", "certbot.main"), ("pip", "pip._internal.cli.main")):
            program = VENV / "bin" / name
            program.write_text(f"#!{VENV}/bin/python\nimport sys\nfrom {module} import main\nsys.exit(main())\n")
            program.chmod(0o755)
        for path in (ETC, Path("/srv/play")):
            path.mkdir(mode=0o755, exist_ok=True)
        stage = Stage(Path("/srv/play"))
        stage.home = ETC
        (ETC / "renewal").mkdir(exist_ok=True)
        stage.certificate(NAME)
        self.wheel = wheel

    def play(self, *arguments: str, **variables: Any) -> dict[str, Any]:
        """What the role said and changed, with these variables over those of every play."""
        given = {"certbot_guard_channels": {"hook": self.url},
                 "certbot_guard_settings": {"server": {"mode": "auto"}, "watch": {"stale_after": "2d", "served": True}},
                 **variables}
        playbook = Path("/srv/play/playbook.yml")
        playbook.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": ["certbot_guard"],
                                         "vars": {"ansible_python_interpreter": "/usr/bin/python3", **given}}]))
        done = subprocess.run(
            [str(ansible_playbook()), "-i", "localhost,", "-c", "local", str(playbook), *arguments],
            env={"PATH": os.environ["PATH"], "HOME": "/root", "LANG": "C.UTF-8", "ANSIBLE_ROLES_PATH": str(ROLES),
                 "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "0",
                 "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheel.parent)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        recap = dict(re.findall(r"(ok|changed|failed)=(\d+)", done.stdout.partition("PLAY RECAP")[2]))
        guard_ini = ETC / "guard.ini"
        return {"code": done.returncode, "said": done.stdout, "changed": int(recap.get("changed", -1)),
                "ini": guard_ini.read_text() if guard_ini.exists() else None,
                "mode": oct(guard_ini.stat().st_mode & 0o777) if guard_ini.exists() else None,
                "renewal": RENEWAL.read_text(), "received": len(self.hook.received),
                "left": [path.name for path in Path(tempfile.gettempdir()).glob("certbot-guard.*")],
                "watched": watched()}


def watched() -> str:
    if os.path.isdir("/run/systemd/system"):
        return subprocess.run(["systemctl", "is-enabled", "certbot-guard-watch.timer"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=60, check=False).stdout.strip()
    return "cron" if Path("/etc/cron.d/certbot-guard").exists() else ""


def inside(wheel: Path, quick: bool) -> dict[str, Any]:
    machine = Machine(wheel)
    first = {"certbot_guard_test_message": "changed"}
    if quick:
        return {"first": machine.play(**first), "second": machine.play(**first)}
    server: dict[str, Any] = {"certbot_guard_settings": {"server": {"mode": "atuo"}}}
    return {
        "check first": machine.play("--check"),
        "first": machine.play("-vvv", **first),
        "second": machine.play("-vvv", **first),
        "check again": machine.play("--check", **first),
        "wrong mode": machine.play("-vvv", **server),
        "wrong url": machine.play("-vvv", certbot_guard_channels={"hook": f"jsn://127.0.0.1/{SECRET}"}),
        "two lines": machine.play("-vvv", certbot_guard_channels={"hook": machine.url + "\n[server]\nmode = stop"}),
        "no section": machine.play(certbot_guard_settings={"server": "auto"}),
        "wrong choice": machine.play(certbot_guard_test_message="sometimes"),
        "no command": machine.play(certbot_guard_install="none", certbot_guard_program="/usr/bin/no-such-command"),
        "nobody there": machine.play(certbot_guard_channels={"hook": f"json://127.0.0.1:9/{SECRET}"}, **first),
    }


# -- outside -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """certbot-guard as it is in this checkout, where the other machine sees it."""
    skip_where_it_is_not_seen()
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(CHECKOUT / name, source)
    shutil.copytree(CHECKOUT / "certbot_guard", source / "certbot_guard", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CHECKOUT / "docs" / "man", source / "docs" / "man")
    try:
        work = Path(tempfile.mkdtemp(prefix="guard-ansible-", dir="/var/lib"))
    except OSError as error:
        pytest.skip(f"there is no place that another machine would see: {error}")
    try:
        done = subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(work),
                               str(source)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                              check=False)
        if done.returncode:
            pytest.skip(f"pip cannot build certbot-guard here: {done.stdout[-300:]}")
        yield next(work.glob("*.whl"))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def run(start: list[str], wheel: Path, *more: str) -> dict[str, Any]:
    words = [*start, "env", "-C", str(CHECKOUT), "PYTHONDONTWRITEBYTECODE=1", f"PATH={os.environ['PATH']}:/usr/sbin",
             sys.executable, "-m", "tests.integration.test_ansible", "inside", str(wheel), *more]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode == CANNOT_RUN:
        pytest.skip(f"no such machine can be had here: {done.stderr.strip()}")
    assert BEGIN in done.stdout, (done.stdout + done.stderr)[-6000:]
    found: dict[str, Any] = json.loads(done.stdout.partition(BEGIN)[2])
    return found


@pytest.fixture(scope="module")
def plays(wheel: Path) -> dict[str, Any]:
    return run([str(CLEAN_ROOT)], wheel)


def failure(play: dict[str, Any]) -> str:
    """The sentence of the task that failed."""
    assert play["code"] == 2, play["said"][-3000:]
    return " ".join(re.findall(r"\[ERROR\]: Task failed: ((?:.|\n)*?)\nOrigin:|$", play["said"]))


def test_check_mode_says_that_it_would_change_something_and_changes_nothing(plays: dict[str, Any]) -> None:
    first = plays["check first"]
    assert first["code"] == 0 and first["changed"] > 0, first["said"][-3000:]
    assert first["ini"] is None and "installer" not in first["renewal"] and first["watched"] == ""


def test_a_lineage_is_adopted_the_settings_are_right_and_the_watch_runs(plays: dict[str, Any], tmp_path: Path) -> None:
    from certbot_guard import config

    first = plays["first"]
    assert first["code"] == 0, first["said"][-3000:]
    assert first["changed"] == 3 and "installer = guard" in first["renewal"] and first["watched"] == "cron"
    assert first["mode"] == "0o600"
    (tmp_path / "guard.ini").write_text(first["ini"])
    (tmp_path / "guard.ini").chmod(0o600)
    settings = config.load(tmp_path / "guard.ini")
    assert not settings.problems and [one.name for one in settings.channels] == ["hook"]
    assert settings.channels[0].url.endswith(f"/{SECRET}") and settings.server.mode == "auto" and settings.watch.served
    assert first["received"] == 1


def test_the_second_run_changes_nothing_and_tells_nobody(plays: dict[str, Any]) -> None:
    for name in ("second", "check again"):
        again = plays[name]
        assert (again["code"], again["changed"]) == (0, 0), again["said"][-3000:]
        assert again["ini"] == plays["first"]["ini"] and again["renewal"] == plays["first"]["renewal"]
        assert again["received"] == 1


WRONG_MODE = r"/etc/letsencrypt/guard\.ini, line \d+: the value of 'mode' in \[server\] is not usable; write one of"


@pytest.mark.parametrize("which, wanted", [
    ("wrong mode", WRONG_MODE),
    ("wrong url", r"the channel 'hook' cannot be used: Apprise knows no service 'jsn://'"),
    ("two lines", r"certbot_guard_channels: \[notify\] hook is not one line of text"),
    ("no section", r"certbot_guard_settings: \[server\] has no options"),
    ("wrong choice", r"certbot_guard_test_message must be one of: never, changed, always"),
    ("no command", r"/usr/bin/no-such-command is not on this host: name the command by certbot_guard_program")])
def test_a_wrong_variable_is_one_sentence_and_changes_nothing(plays: dict[str, Any], which: str, wanted: str) -> None:
    play = plays[which]
    assert re.search(wanted, failure(play)), play["said"][-3000:]
    assert "/tmp/certbot-guard." not in failure(play)
    assert play["ini"] == plays["first"]["ini"] and play["received"] == 1


def test_a_test_message_that_does_not_arrive_fails_the_play_and_says_why(plays: dict[str, Any]) -> None:
    assert "hook: failed: 127.0.0.1 refuses the connection" in failure(plays["nobody there"])


def test_no_play_shows_a_secret_or_leaves_it_behind(plays: dict[str, Any]) -> None:
    for name, play in plays.items():
        assert SECRET not in play["said"], name
        assert play["left"] == [], name


@pytest.mark.systemd
def test_under_systemd_the_timer_is_enabled_and_the_second_run_changes_nothing(wheel: Path) -> None:
    with booted() as directory:
        found = run([str(BOX), "run", str(directory)], wheel, "quick")
    first, second = found["first"], found["second"]
    assert first["code"] == 0 and first["watched"] == "enabled" and first["changed"] == 3, first["said"][-3000:]
    assert (second["code"], second["changed"]) == (0, 0), second["said"][-3000:]
    assert "installer = guard" in second["renewal"]


if __name__ == "__main__":
    print(BEGIN + json.dumps(inside(Path(sys.argv[2]), "quick" in sys.argv[3:])))
