"""adopt and release, on files of certbot's: what they leave behind, whatever happens in between."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Optional

import pytest
from click.testing import CliRunner, Result

from certbot_guard import adoption, adoption_notes, renewaldir
from certbot_guard.doctor import hookfiles
from certbot_guard.cli import commands
from certbot_guard.errors import GuardError
from tests.support.certbot import program
from tests.support.context import Context
from tests.unit.test_renewalfile import ODD, PLAIN, REAL

STANDALONE = """\
version = 2.1.0
cert = {live}/cert.pem
privkey = {live}/privkey.pem
chain = {live}/chain.pem
fullchain = {live}/fullchain.pem
[renewalparams]
authenticator = standalone
# a password, which is nobody's to see
manual_auth_hook = curl -u me:hunter2 https://dns.example.com
{more}
key_type = ecdsa
"""
STOP = "pre_hook = systemctl stop apache2"
START = "post_hook = systemctl start apache2"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "letsencrypt")


class Home:
    """certbot's directory, as far as adopt looks at it."""

    def __init__(self, path: Path) -> None:
        self.path, self.renewal = path, path / "renewal"
        self.renewal.mkdir(parents=True)

    def write(self, name: str, data: Any = b"", *more: str) -> Path:
        path = self.renewal / f"{name}.conf"
        text = STANDALONE.format(live=self.path / "live" / name, more="\n".join(more))
        path.write_bytes(data or text.encode("utf-8", "surrogateescape"))
        return path

    def obtain(self, name: str, numbers: tuple[int, ...], word: str) -> None:
        """Certificates with these numbers, the last one live; what they say depends on ``word``."""
        archive, live = self.path / "archive" / name, self.path / "live" / name
        shutil.rmtree(archive, ignore_errors=True)
        shutil.rmtree(live, ignore_errors=True)
        archive.mkdir(parents=True)
        live.mkdir(parents=True)
        for number in numbers:
            (archive / f"cert{number}.pem").write_text(f"{word} {number}")
        (live / "cert.pem").symlink_to(f"../../archive/{name}/cert{numbers[-1]}.pem")

    def files(self) -> dict[str, tuple[bytes, int]]:
        """All that is in renewal/ and beside it."""
        return {str(path.relative_to(self.path)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
                for path in self.path.rglob("*") if path.is_file() and not path.is_symlink()}

    def run(self, *arguments: str, answers: Optional[str] = None) -> Result:
        return CliRunner().invoke(commands, [*arguments, "--config-dir", str(self.path)], input=answers)


def installer(path: Path) -> str:
    return renewalfile_of(path).get("installer")


def renewalfile_of(path: Path) -> Any:
    from certbot_guard.renewalfile import parse

    return parse(path.read_bytes())


# -- there and back --------------------------------------------------------------------------------------------------


def _whole(data: bytes) -> bytes:
    """One of the odd files, with all that certbot needs in it."""
    needs = b"version = 1\nprivkey = /p\nchain = /c\nfullchain = /f\n"
    bom = data[:3] if data.startswith(b"\xef\xbb\xbf") else b""
    data = bom + needs.replace(b"\n", b"\r\n" if b"\r\n" in data else b"\n") + data[len(bom):].replace(b"version", b"v")
    return data


CASES = {**{path.stem: path.read_bytes() for path in REAL},
         **{name: _whole(data) for name, data in ODD.items() if b"authenticator" in data}}


@pytest.mark.parametrize("retire", ["--retire-hooks", "--keep-hooks"])
def test_what_is_released_is_to_the_byte_what_was_adopted(home: Home, retire: str) -> None:
    for number, data in enumerate(CASES.values()):
        home.write(f"{number:02}", data).chmod(0o640 if number % 2 else 0o644)
    before = home.files()
    result = home.run("adopt", "--all", "--yes", retire)
    assert result.exit_code == 0, result.output
    for number, name in enumerate(CASES):
        file = renewalfile_of(home.renewal / f"{number:02}.conf")
        assert file.get("installer") == "guard", name
        if "hooks" in name and name in {path.stem for path in REAL}:
            assert ("pre_hook" in file.keys, "post_hook" in file.keys) == (retire == "--keep-hooks",) * 2
            assert "renew_hook" in file.keys  # which logs something
    assert home.files() != before
    result = home.run("release", "--all", "--yes")
    assert result.exit_code == 0, result.output
    assert home.files() == before


def test_a_second_adopt_and_a_second_release_change_nothing_and_say_so(home: Home) -> None:
    home.write("one")
    assert home.run("adopt", "--all", "--yes").exit_code == 0
    after = home.files()
    again = home.run("adopt", "--all", "--yes")
    assert (again.exit_code, again.output) == (0, "Every certificate asked for has the guard; nothing was changed.\n")
    assert home.files() == after
    assert home.run("release", "--all", "--yes").exit_code == 0
    again = home.run("release", "--all", "--yes")
    assert (again.exit_code, again.output) == (0, "No certificate asked for has the guard; nothing was changed.\n")


def test_only_the_lines_that_change_are_shown_since_others_may_hold_passwords(home: Home) -> None:
    home.write("one", b"", "installer = None", STOP, START)
    home.write("two")
    before = home.files()
    for verb in ("adopt", "release"):
        result = home.run(verb, "--all", answers="n\n")
        assert result.exit_code == 1
        assert "hunter2" not in result.output
        if verb == "adopt":
            assert "    -installer = None\n    +installer = guard\n" in result.output
            assert f"changed: {home.renewal}/two.conf\n    +installer = guard\n" in result.output
            assert "--retire-hooks takes them out" in result.output
            assert home.files() == before
            home.run("adopt", "--all", "--yes", "--retire-hooks")
    assert "    +installer = None\n" in result.output
    assert f"    +{STOP}\n" in result.output


def test_mode_owner_and_attributes_stay(home: Home) -> None:
    path = home.write("one")
    path.chmod(0o600)
    os.chown(path, 0, 12345)
    try:
        os.setxattr(path, "user.who", b"me")
        attribute = True
    except OSError:
        attribute = False
    for verb in ("adopt", "release"):
        assert home.run(verb, "--all", "--yes").exit_code == 0
        found = path.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o600, 0, 12345)
        assert not attribute or os.getxattr(path, "user.who") == b"me"
        note = home.renewal / ".one.conf.before-guard"
        assert note.exists() == (verb == "adopt")
        assert not note.exists() or stat.S_IMODE(note.stat().st_mode) == 0o600


# -- what is asked for -----------------------------------------------------------------------------------------------


def test_another_installer_is_changed_only_when_asked_for_by_name_and_comes_back(home: Home) -> None:
    other, plain = home.write("other", b"", "installer = nginx  # mine"), home.write("plain")
    before = home.files()
    result = home.run("adopt", "--all", "--yes")
    assert result.exit_code == 0
    assert (installer(other), installer(plain)) == ("nginx", "guard")
    assert "Left, since another installer is named there: other." in result.output
    result = home.run("adopt", "--cert-name", "other", "--yes")
    assert installer(other) == "guard"
    assert "names the installer nginx, which then does nothing any more" in result.output
    assert "[deploy] also_reload" in result.output
    home.run("release", "--all", "--yes")
    assert home.files() == before


def test_without_a_name_and_a_terminal_it_says_what_to_write(home: Home) -> None:
    home.write("one")
    home.write("two")
    for verb in ("adopt", "release"):
        result = home.run(verb)
        assert result.exit_code == 2
        assert "say which certificates: --all, or --cert-name NAME. There are: one, two" in result.output
        assert home.run(verb, "--all", "--cert-name", "one").exit_code == 2


def test_on_a_terminal_it_shows_what_there_is_and_asks(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["certbot_guard.cli.adopt"], "_terminal", lambda: True)
    one, two = home.write("one", b"", STOP, START), home.write("two", b"", "installer = apache")
    home.write("three")
    result = home.run("adopt", answers="two one\ny\ny\n")
    assert result.exit_code == 0, result.output
    assert "one, three, two" in result.output
    assert (installer(one), installer(two), installer(home.renewal / "three.conf")) == ("guard", "guard", "")
    assert "pre_hook" not in renewalfile_of(one).keys
    result = home.run("release", answers="all\nn\n")
    assert result.exit_code == 1
    assert installer(one) == "guard"


def test_a_name_that_is_no_certificate_is_said_and_never_opened(home: Home) -> None:
    home.write("one")
    (home.path / "evil.conf").write_bytes(PLAIN)
    for name in ("../evil", "/etc/passwd", "one/../one", "one.conf", "", "\x1b[2J", "a" * 300, ".one"):
        for verb in ("adopt", "release"):
            before = home.files()
            result = home.run(verb, "--cert-name", name, "--yes")
            assert result.exit_code == 1, (name, result.output)
            assert "there is no certificate named" in result.output
            assert "\x1b" not in result.output
            assert home.files() == before


def test_a_hostile_name_of_a_file_is_shown_harmless_and_handled(home: Home) -> None:
    names = ["a\nb", "\x1b[31mred", "$(reboot)", "@all", "-rf", "ü\u202etxt", os.fsdecode(b"\xff\xfe"), "x" * 249]
    data = STANDALONE.format(live="/live", more="").encode()
    for name in names:
        home.write(name, data)
    home.write(".hidden", data)  # certbot passes it over
    before = home.files()
    result = home.run("adopt", "--all", "--yes")
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output
    # Of the longest name nothing can be remembered, so it is left as it is.
    assert result.exit_code == 1
    assert "File name too long" in result.output
    for name in names:
        assert installer(home.renewal / f"{name}.conf") == ("" if len(name) > 200 else "guard")
    assert installer(home.renewal / ".hidden.conf") == ""
    assert home.run("release", "--all", "--yes").exit_code == 1
    assert home.files() == before


def test_a_file_that_certbot_cannot_read_is_named_and_left_and_the_others_are_done(home: Home) -> None:
    broken = {"broken": b"[renewalparams]\nx\n", "empty": b"\n", "half": b"[renewalparams]\nauthenticator = a\n",
              "latin": b"# \xe9\n" + PLAIN}
    for name, data in broken.items():
        home.write(name, data)
    good = home.write("good")
    result = home.run("adopt", "--all", "--yes")
    assert result.exit_code == 1
    assert installer(good) == "guard"
    for name, data in broken.items():
        assert (home.renewal / f"{name}.conf").read_bytes() == data
        assert f"certbot-guard: {home.renewal}/{name}.conf: " in result.output


def test_the_directory_comes_from_the_settings(home: Home, tmp_path: Path) -> None:
    one = home.write("one")
    ini = tmp_path / "guard.ini"
    ini.write_text(f"[certbot]\nconfig_dir = {home.path}\n")
    ini.chmod(0o600)
    assert CliRunner().invoke(commands, ["--config", str(ini), "adopt", "--all", "--yes"]).exit_code == 0
    assert installer(one) == "guard"


# -- what is there, and whose ----------------------------------------------------------------------------------------


def test_what_others_could_exchange_is_not_touched(home: Home) -> None:
    one = home.write("one")
    elsewhere = home.path / "elsewhere"
    elsewhere.write_bytes(one.read_bytes())
    (home.renewal / "link.conf").symlink_to(elsewhere)
    (home.renewal / "directory.conf").mkdir()
    os.mkfifo(home.renewal / "pipe.conf")
    home.write("open").chmod(0o666)
    os.chown(home.write("theirs"), 12345, 0)
    result = home.run("adopt", "--all", "--yes")
    assert result.exit_code == 1
    assert "link.conf is a symbolic link, which certbot replaces by a file at the next renewal" in result.output
    assert "Done: one." in result.output
    assert (home.renewal / "link.conf").is_symlink()
    assert {installer(path) for path in (elsewhere, home.renewal / "theirs.conf", home.renewal / "open.conf")} == {""}
    for path in (home.renewal, home.path):
        path.chmod(0o777)
        before = home.files()
        for verb in ("adopt", "release"):
            result = home.run(verb, "--all", "--yes")
            assert isinstance(result.exception, GuardError)
            assert "can be written by others" in str(result.exception)
        assert home.files() == before
        path.chmod(0o755)


def test_a_file_that_changed_since_it_was_looked_at_is_left(home: Home) -> None:
    path = home.write("one")
    changes = adoption.plan(home.path)
    path.write_bytes(path.read_bytes() + b"# by certbot\n")
    before = home.files()
    [done] = adoption.adopt(home.path, changes)
    assert "changed since it was looked at" in done.problem
    assert home.files() == before


# -- certbot's lock --------------------------------------------------------------------------------------------------


def test_while_certbot_runs_nothing_is_changed_and_the_exit_code_is_75(home: Home) -> None:
    home.write("one")
    lock = home.path / ".certbot.lock"
    script = ("import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); "
              "time.sleep(60)")
    with subprocess.Popen([sys.executable, "-Ic", script, str(lock)], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            other.stdout.readline()
            before = home.files()
            result = home.run("adopt", "--all", "--yes")
            assert result.exit_code == 75
            assert result.output.count("another certbot is at work") == 1
            assert home.files() == before
        finally:
            other.kill()
    # What a killed certbot leaves behind is no lock.
    assert lock.exists()
    assert home.run("adopt", "--all", "--yes").exit_code == 0
    assert not lock.exists()


def test_certbot_itself_does_not_run_while_we_hold_the_lock_and_does_right_after(home: Home) -> None:
    directories = [word for name in ("config", "work", "logs")
                   for word in (f"--{name}-dir", str(home.path if name == "config" else home.path / name))]

    def certbot() -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(program()), "certificates", *directories], capture_output=True, text=True,
                              check=False)

    home.write("one")
    with renewaldir.locked(home.path):
        assert "Another instance of Certbot is already running" in certbot().stderr
    assert certbot().returncode == 0


def test_the_lock_is_let_go_of_when_an_error_ends_the_work(home: Home) -> None:
    with pytest.raises(ValueError), renewaldir.locked(home.path):
        raise ValueError
    assert not (home.path / ".certbot.lock").exists()
    with open(home.path / "x", "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# -- killed, full, read-only -----------------------------------------------------------------------------------------

_WRITES = ("open", "write", "fchmod", "fsync", "rename", "unlink")


def _counted(name: str, real: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def step(*arguments: Any, **more: Any) -> Any:
        if name != "open" or arguments[1] & os.O_CREAT:
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **more)

    return step


def killed_at(number: int, work: Callable[[], object]) -> bool:
    """Do it in a process that gets SIGKILL before its ``number``-th step that writes; false: it had no so many."""
    child = os.fork()
    if child == 0:
        try:
            left = [number]
            for name in _WRITES:
                setattr(os, name, _counted(name, getattr(os, name), left))
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_killed_at_each_write_the_file_is_old_or_new_and_release_gives_it_back(home: Home) -> None:
    path = home.write("one", b"", "installer = apache", STOP, START)
    before = home.files()
    [change] = adoption.plan(home.path, ["one"], retire_hooks=True)
    old, new = change.before, change.after

    def adopt() -> object:
        return adoption.adopt(home.path, adoption.plan(home.path, ["one"], retire_hooks=True))

    def release() -> object:
        return adoption.release(home.path, adoption.survey_release(home.path).changes)

    steps = 0
    for work, then in ((adopt, new), (release, old)):
        number = 1
        while True:
            if work is release:
                adopt()
            killed = killed_at(number, work)
            assert path.read_bytes() in (old, new)
            assert [name for name in os.listdir(home.renewal) if name.endswith(".conf")] == ["one.conf"]
            if not killed:
                assert path.read_bytes() == then
            if number % 2:  # and adopt again after it, whatever is left of it
                adopt()
                assert path.read_bytes() == new
            release()
            left = {name: data for name, data in home.files().items() if not name.startswith("renewal/.guard.")}
            assert left.pop(".certbot.lock", None) is None or not adoption.survey_release(home.path).changes
            assert left == before, (work.__name__, number)
            if not killed:
                break
            number += 1
        steps += number
        adopt()
        release()
        assert home.files() == before  # what was half written has gone
    assert steps > 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A home on a file system of its own, of a few pages."""
    directory = tmp_path / "disk"
    directory.mkdir(mode=0o755)
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0755", "tmpfs", str(directory)],
                                      capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def test_on_a_read_only_or_full_disk_nothing_is_changed_and_it_says_why(small_disk: Path) -> None:
    home = Home(small_disk / "letsencrypt")
    home.write("one", b"", "installer = apache", STOP, START)
    before = home.files()
    adopt = ("adopt", "--cert-name", "one", "--yes", "--retire-hooks")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    result = home.run(*adopt)
    assert "Read-only file system" in str(result.exception)
    assert isinstance(result.exception, GuardError)
    assert home.files() == before
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    for pages in range(8):
        filled = small_disk / "filled"
        with open(filled, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass
            file.truncate(max(0, file.tell() - pages * 4096))
        result = home.run(*adopt)
        if result.exit_code == 0:
            break
        assert "No space left on device" in result.output + str(result.exception)
        filled.unlink()
        left = home.files()
        left.pop("renewal/.one.conf.before-guard", None)  # the intent may be there, the file is as it was
        assert left == before
        home.run("release", "--all", "--yes")
        assert home.files() == before
    assert pages and result.exit_code == 0
    filled.unlink()
    assert home.run("release", "--all", "--yes").exit_code == 0
    assert home.files() == before


# -- what is remembered ----------------------------------------------------------------------------------------------


def test_of_a_file_that_was_changed_meanwhile_what_adopt_changed_is_given_back_and_the_rest_stays(home: Home) -> None:
    path = home.write("one", b"", "installer = apache # mine", STOP, START)
    home.run("adopt", "--cert-name", "one", "--yes", "--retire-hooks")
    path.write_bytes(path.read_bytes().replace(b"version = 2.1.0", b"version = 5.8.0").replace(
        b"key_type = ecdsa", b"key_type = rsa\nguard_config = /g\nguard_mode = auto"))
    home.run("release", "--all", "--yes")
    assert path.read_text() == STANDALONE.format(
        live=home.path / "live/one", more=f"installer = apache # mine\n{STOP}\n{START}").replace(
        "2.1.0", "5.8.0").replace("ecdsa", "rsa")


def test_a_lineage_that_certbot_gave_the_guard_loses_it_and_every_guard_entry(home: Home) -> None:
    path = home.write("one", b"", "installer = guard", "guard_config = /g")
    left = home.write("other", b"", "guard_mode = auto")
    home.run("release", "--all", "--yes")
    assert path.read_text() == STANDALONE.format(live=home.path / "live/one", more="").replace("\n\n", "\n")
    assert "guard" not in left.read_text()


def test_what_certbot_dropped_by_itself_comes_back_and_what_somebody_chose_since_stays(home: Home) -> None:
    dropped, chosen = (home.write(name, b"", "installer = apache", STOP, START) for name in ("dropped", "chosen"))
    before = dropped.read_bytes()
    home.run("adopt", "--cert-name", "dropped", "--cert-name", "chosen", "--yes", "--retire-hooks")
    dropped.write_bytes(dropped.read_bytes().replace(b"installer = guard\n", b""))
    chosen.write_bytes(chosen.read_bytes().replace(b"= guard", b"= nginx\npre_hook = mine"))
    result = home.run("release", "--all", "--yes")
    assert sorted(dropped.read_bytes().splitlines()) == sorted(before.splitlines())
    file = renewalfile_of(chosen)
    assert (file.get("installer"), file.get("pre_hook"), file.get("post_hook")) == (
        "nginx", "mine", "systemctl start apache2")
    assert "names the installer nginx by now" in result.output
    assert "pre_hook: there is another one by now" in result.output


@pytest.mark.parametrize("renewed", [False, True])
def test_adopted_again_after_certbot_dropped_the_guard_it_still_remembers_the_hooks(home: Home, renewed: bool) -> None:
    path = home.write("one", b"", STOP, START)
    before = path.read_bytes()
    home.run("adopt", "--all", "--yes", "--retire-hooks")
    path.write_bytes(path.read_bytes().replace(b"installer = guard\n", b""))
    home.run("adopt", "--all", "--yes")
    if renewed:
        path.write_bytes(path.read_bytes().replace(b"2.1.0", b"5.8.0"))
    home.run("release", "--all", "--yes")
    assert path.read_bytes() == (before.replace(b"2.1.0", b"5.8.0") if renewed else before)


def test_what_a_killed_release_left_behind_is_not_given_back_a_second_time(
        home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home.write("one", b"", "installer = apache", STOP, START)
    before = path.read_bytes()
    home.run("adopt", "--cert-name", "one", "--yes", "--retire-hooks")
    with monkeypatch.context() as patch:
        patch.setattr(adoption_notes, "forget", lambda *_: None)  # killed before that
        home.run("release", "--all", "--yes")
    assert path.read_bytes() == before
    path.write_bytes(renewalfile_of(path).without("pre_hook").without("post_hook").data)  # by hand, since
    before = path.read_bytes()
    home.run("adopt", "--cert-name", "one", "--yes")
    path.write_bytes(path.read_bytes().replace(b"2.1.0", b"5.8.0"))
    home.run("release", "--all", "--yes")
    assert path.read_bytes() == before.replace(b"2.1.0", b"5.8.0")


def test_hooks_retired_later_come_back_as_well_as_what_was_there_first(home: Home) -> None:
    path = home.write("one", b"", "installer = apache", STOP, START)
    before = path.read_bytes()
    home.run("adopt", "--cert-name", "one", "--yes")
    assert "pre_hook" in renewalfile_of(path).keys
    home.run("adopt", "--cert-name", "one", "--yes", "--retire-hooks")
    assert "pre_hook" not in renewalfile_of(path).keys
    home.run("release", "--all", "--yes")
    assert path.read_bytes() == before


@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3)])
def test_nothing_of_a_deleted_lineage_comes_back_in_a_new_one_of_its_name(home: Home, numbers: tuple[int, ...]) -> None:
    path = home.write("one", b"", "installer = apache", STOP, START)
    home.obtain("one", (1, 2), "first")
    home.run("adopt", "--cert-name", "one", "--yes", "--retire-hooks")
    path.unlink()  # as certbot delete does
    result = home.run("release", "--all", "--yes")
    assert "one has no renewal configuration any more" in result.output
    home.obtain("one", numbers, "second")
    home.write("one", b"", "installer = guard")
    home.run("release", "--all", "--yes")
    assert path.read_text() == STANDALONE.format(live=home.path / "live/one", more="").replace("\n\n", "\n")
    assert not list(home.renewal.glob(".*"))


def test_a_lineage_that_was_renewed_since_is_the_same_one(home: Home) -> None:
    path = home.write("one", b"", STOP, START)
    before = path.read_bytes()
    home.obtain("one", (1, 2), "first")
    home.run("adopt", "--all", "--yes", "--retire-hooks")
    home.obtain("one", (1, 2, 3), "first")
    home.run("release", "--all", "--yes")
    assert path.read_bytes() == before


def test_what_is_remembered_of_a_lineage_that_is_gone_can_be_forgotten(home: Home) -> None:
    home.write("one")
    home.run("adopt", "--all", "--yes")
    (home.renewal / "one.conf").unlink()
    assert home.run("release", "--cert-name", "one", "--yes").exit_code == 0
    assert not list(home.renewal.iterdir())


def test_a_damaged_note_is_said_and_the_file_is_left(home: Home) -> None:
    path = home.write("one", b"", STOP, START)
    home.run("adopt", "--all", "--yes", "--retire-hooks")
    after, note = path.read_bytes(), adoption_notes.path_of(home.path, "one")
    whole = note.read_bytes()
    for data in (b"", whole[:40], b"[]", b"null", b"\xff", whole.replace(b'"version": 1', b'"version": 2'),
                 b"[" * 100_000):
        note.write_bytes(data)
        result = home.run("release", "--all", "--yes")
        assert result.exit_code == 1
        assert f"{note} is not as certbot-guard wrote it" in result.output
        assert path.read_bytes() == after


# -- hooks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hooks, retired, said", [
    ([STOP, START], ["pre_hook", "post_hook"], ""),
    (["pre_hook = apachectl graceful-stop", "renew_hook = service apache2 restart"], ["pre_hook", "renew_hook"], ""),
    (["renew_hook = systemctl reload apache2"], ["renew_hook"], ""),
    (["pre_hook = apachectl stop"], [], "no hook beside it starts it again: these hooks are left"),
    (["pre_hook = apachectl stop", "post_hook = apachectl start && ./tell"], [], "post_hook does not just start it"),
    (["pre_hook = apachectl stop", "post_hook = ./tell", "renew_hook = apachectl start"], [], "these hooks are left"),
    (["post_hook = apachectl start"], [], "what stops the web server is somewhere else"),
    (["pre_hook = ./x && apachectl stop", "post_hook = apachectl restart"], [], "another hook may stop the web server"),
    (["pre_hook = systemctl stop nginx", "post_hook = systemctl start nginx"], [], ""),
    (["pre_hook = None", "post_hook = apachectl restart"], ["post_hook"], ""),
    (["post_hook = apachectl stop"], [], ""),
])
def test_hooks_are_retired_together_or_it_says_why_not(home: Home, hooks: list[str], retired: list[str],
                                                       said: str) -> None:
    path = home.write("one", b"", *hooks)
    before, keys = path.read_bytes(), renewalfile_of(path).keys
    result = home.run("adopt", "--all", "--yes", "--retire-hooks")
    assert [key for key in keys if key not in renewalfile_of(path).keys] == retired
    assert said in result.output
    home.run("release", "--all", "--yes")
    assert path.read_bytes() == before


def test_hooks_elsewhere_are_named_and_not_touched(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usual = tmp_path / "usual-cli.ini"  # which counts with every --config-dir
    usual.write_text("post-hook = systemctl start httpd\n")
    monkeypatch.setattr(hookfiles, "cli_inis", lambda: [usual])
    path = home.write("one", b"", "post_hook = apachectl restart")
    (home.path / "cli.ini").write_text("# mine\npre-hook = systemctl stop apache2\nemail = me@example.com\n")
    script = home.path / "renewal-hooks" / "post" / "start"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\nset -e\nsystemctl start apache2\n")
    script.chmod(0o755)
    before = home.files()
    result = home.run("adopt", "--all", "--yes", "--retire-hooks")
    assert f"{home.path}/cli.ini, line 2: this hook stops the web server (systemctl stop apache2)" in result.output
    assert f"{script}, line 3: this hook starts the web server" in result.output
    assert f"{usual}, line 1: this hook starts the web server (systemctl start httpd)" in result.output
    assert "post_hook (apachectl restart) is left: another hook may stop the web server" in result.output
    assert "post_hook" in renewalfile_of(path).keys
    home.run("release", "--all", "--yes")
    assert home.files() == before


# -- with certbot ----------------------------------------------------------------------------------------------------


def test_a_lineage_adopted_renewed_under_guard_and_released_is_as_certbot_alone_would_have_it(context: Context) -> None:
    other = context.new_home("alone")
    hook = f"echo renewed >> {context.directory}/said"
    for home in (context.home, other):
        context.obtain("one.guard.test", home=home, guarded=False, vhost=None if home is context.home else "",
                       pre_hook="apachectl stop", renew_hook=hook, post_hook="apachectl start")
        path = home.conf_path("one.guard.test")
        path.write_text("# ours\n" + path.read_text().replace("[renewalparams]", "# below\n[renewalparams]  # beside"))
    context.guard_ini()
    context.apache.start()
    where = ("--config-dir", str(context.home.config))
    run = context.guard("adopt", "--all", "--yes", "--retire-hooks", *where, check=True)
    assert "-pre_hook = apachectl stop" in run.stdout
    path = context.home.conf_path("one.guard.test")
    adopted = path.read_bytes()
    context.renew(check=True)
    assert context.events("stopping")  # guarded: the sentinel stopped Apache, no hook did
    assert context.home.version("one.guard.test") == 2
    assert installer(path) == "guard"
    assert path.read_bytes() != adopted
    context.guard("release", "--all", "--yes", *where, check=True)

    context.apache.stop()
    alone = other.conf_path("one.guard.test")
    # Its hooks would find the machine's own apachectl, so it renews without them, and they are put back by hand.
    text = alone.read_text()
    lines = [line for line in text.splitlines(keepends=True) if "apachectl" in line]
    alone.write_text("".join(line for line in text.splitlines(keepends=True) if line not in lines))
    context.renew(home=other, check=True)
    expected = alone.read_text().replace(str(other.directory), str(context.home.directory))
    got = "".join(line for line in path.read_text().splitlines(keepends=True) if line not in lines)
    assert got == expected
    assert [line for line in path.read_text().splitlines(keepends=True) if line in lines] == lines
