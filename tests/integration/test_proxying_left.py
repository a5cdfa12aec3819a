"""A file of ours that stays where Apache reads: replaced by the next one, or left while others have a hand in it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Callable

import pytest

from certbot_guard.proxying import loopback, placement, placing, selfcheck, snippet
from certbot_guard.proxying.asking import Ports
from certbot_guard.servers.apache import ApacheServer
from tests.support.apache import control_program
from tests.support.context import Context
from tests.support.passages import ALONE, MIXED, THREE, VICTIM, Scene
from tests.support.site import Site

NOBODY = 65534

pytestmark = [
    pytest.mark.skipif(control_program() is None, reason="Apache is not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]


def test_one_that_loads_modules_is_replaced_by_one_that_loads_them():
    with Site(tls=False, open_directory=True) as site:
        site.add_vhost("plain")
        site.start()
        server = ApacheServer(site.program, site.environment)
        placing.place(server, loopback.free_port(), 1, ["plain"])
        port = loopback.free_port()
        path = placing.place(server, port, os.getpid(), ["plain"])
        assert "LoadModule proxy_http_module" in path.read_text()
        assert selfcheck.check(["plain"], [site.address], port, Ports(site.http_port, 0)) == []
        assert placing.remove(server, path) == ""
        assert "proxy" not in server.instance.dump.modules


def directory_alone(scene: Scene) -> None:
    os.chown(scene.file.parent, NOBODY, NOBODY)


def writable_for_all(scene: Scene) -> None:
    scene.file.parent.chmod(0o777)


def with_all_in_it(scene: Scene) -> None:
    for path in (*scene.file.parent.iterdir(), scene.file.parent):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def replaced_by_a_link(scene: Scene) -> None:
    """To a file that root has elsewhere, and that is as ours is."""
    directory_alone(scene)
    os.replace(scene.file, target(scene))
    scene.file.symlink_to(target(scene))
    os.chown(scene.file, NOBODY, NOBODY, follow_symlinks=False)


def target(scene: Scene) -> Path:
    return scene.context.directory / "elsewhere.conf"


def strangers(scene: Scene) -> list[Path]:
    """What he has put there, under the names of ours that a killed write leaves."""
    directory, victim = scene.file.parent, scene.context.directory / "victim"
    victim.write_text("root's")
    names = [directory / f".{placement.NAME}.{digit * 12}" for digit in "012"]
    names[0].symlink_to(victim)
    names[1].write_text("his")
    names[2].write_text("root's, which he has moved there")
    for path in names[:2]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return names


def seen(paths: list[Path]) -> dict[str, Any]:
    """Each as it is, and where a link leads to."""
    return {str(path): (path.lstat().st_ino, path.lstat().st_uid, path.lstat().st_mtime_ns, path.read_bytes())
            for path in paths}


@pytest.mark.parametrize("give, shape, end", [
    (directory_alone, ALONE, "it works"), (directory_alone, ALONE, "killed"),
    (with_all_in_it, ALONE, "it fails"), pytest.param(with_all_in_it, ALONE, "killed", marks=pytest.mark.long),
    (replaced_by_a_link, ALONE, "killed"), pytest.param(replaced_by_a_link, ALONE, "it works", marks=pytest.mark.long),
    pytest.param(writable_for_all, ALONE, "it fails", marks=pytest.mark.long)])
def test_a_directory_that_is_given_away_in_a_passage_is_left_alone_until_it_is_roots_again(
        new_context: Callable[..., Context], give: Callable[[Scene], None], shape: str, end: str) -> None:
    context = new_context(open_directory=True)
    scene = Scene(context, shape)
    linked = give is replaced_by_a_link
    if end == "it fails":
        context.ca.invalid_challenge(VICTIM, "no such page")
    with scene.nobody_notices(ours=not linked):
        with scene.at("in the challenge") as run:
            give(scene)
            others = strangers(scene)
            watched = [*others, scene.file, *([target(scene)] if linked else [])]
            before = seen(watched)
            if end == "killed":
                run.send(signal.SIGKILL)
                run.wait()
        assert run.wait().returncode == {"it works": 0, "it fails": 1, "killed": -signal.SIGKILL}[end]
        context.wait_settled()
        assert seen(watched) == before
        words = [] if linked else [f"{scene.file} cannot be taken away", str(NOBODY), "certbot-guard recover"]
        if give is writable_for_all:
            words.remove(str(NOBODY))
        if words or end != "it works":
            scene.told(*words, *{"killed": ["certbot died"], "it fails": ["no such page"], "it works": []}[end])
        else:
            scene.told_nothing()
        done = context.guard("recover")
        assert done.returncode == 0 and seen(watched) == before
        said = "Nothing was unfinished" if linked else f"{scene.file} cannot be taken away"
        assert said in done.output, done.output

        for path in (scene.file.parent, *([] if linked else [scene.file])):
            os.chown(path, 0, 0)
        scene.file.parent.chmod(0o755)
        done = context.guard("recover")
        assert done.returncode == 0, done.output
        assert linked or f"{scene.file} was left in the web server's configuration" in done.output, done.output
        kept = [path for path in watched if path.is_symlink() or path.exists()]
        gone = {scene.file, others[2]} if not linked else {others[2]}  # root's own again
        assert set(watched) - set(kept) == gone
        assert seen(kept) == {str(path): before[str(path)] for path in kept}
        for path in others[:2]:
            path.unlink()
        scene.swept = True
    assert context.guard("recover").stdout == "Nothing was unfinished.\n"


@pytest.mark.parametrize("give", [directory_alone, pytest.param(with_all_in_it, marks=pytest.mark.long)])
def test_the_lineages_behind_it_are_stopped_for_since_no_file_can_be_put_there(
        new_context: Callable[..., Context], give: Callable[[Scene], None]) -> None:
    context = new_context(open_directory=True)
    scene = Scene(context, THREE)
    scene.shape = MIXED  # Apache is stopped for the last one
    with scene.nobody_notices():
        with scene.at("in the challenge") as run:
            give(scene)
        assert run.wait().returncode == 0, run.output
        context.wait_settled()
        assert scene.renewed() == scene.names and len(context.events("stopping")) == 1
        assert "who could replace" in context.events("not-proxied")[0]["reason"]
        assert snippet.MARK in scene.file.read_text()
        scene.told(f"{scene.file} cannot be taken away")
        os.chown(scene.file.parent, 0, 0)
        os.chown(scene.file, 0, 0)
        assert f"{scene.file} was left" in context.guard("recover").output
        scene.swept = True
    scene.shows_what_was_renewed()
