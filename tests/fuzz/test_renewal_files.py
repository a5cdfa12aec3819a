"""Renewal configurations, whatever stands in them: read as far as they can be, changed whole or not at all."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certbot_guard import adoption, adoption_notes, lineages, renewalfile
from certbot_guard.errors import GuardError
from certbot_guard.renewalfile import RenewalFileError
from certbot_guard.watch import files
from tests.fuzz.trying import bounded, is_quiet, junk, many, text_of, witness, words

LINES = ["version = 5.8.0", "cert = /x/live/a/cert.pem", "privkey = /x/live/a/privkey.pem", "chain = /x/chain.pem",
         "fullchain = /x/fullchain.pem", "[renewalparams]", "renewalparams = x", "[ renewalparams ]", "[[webroot_map]]",
         "[[", "]", "authenticator = standalone", "installer = guard", "installer = apache", "installer = None",
         "guard_config = /etc/letsencrypt/guard.ini", "pre_hook = apachectl stop", "post_hook = 'apachectl start'",
         "renew_hook = \"\"\"a", "b\"\"\"", "pref_challs = http-01,", "key_type = ecdsa # why", "cert = a, b",
         "renew_before_expiry = 30 days", "renew_before_expiry = 9999 years", "autorenew = %(autorenew)s",
         "server = %(server", "cert = %(cert)s", "cert = \x00", "# comment", "\ufeff", "a=1\x0b2"]
WHOLE = "\n".join(LINES[:6]).replace("version", "version") + "\nauthenticator = standalone\n"
FILES = st.one_of(
    st.binary(max_size=150), text_of(LINES).map(lambda text: text.encode("utf-8", "surrogatepass")),
    text_of(LINES).map(lambda text: (WHOLE + text).encode("utf-8", "surrogatepass")))
_number = itertools.count()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("renewal")


@given(FILES, st.sampled_from(["installer", "authenticator", "pre_hook", "new", "a b"]), words)
@many(300)
def test_one_key_is_set_and_taken_away_or_the_file_is_refused(data: bytes, key: str, value: str) -> None:
    with bounded():
        try:
            found = renewalfile.parse(data)
        except RenewalFileError as error:
            assert is_quiet(str(error))
            return
        assert found.data == data
        try:
            made = found.with_value(key, value)
            assert made.get(key) == (value if value != "None" else "")
            if key in found.keys:
                assert made.put_back(key, found).parsed == found.parsed
            assert key not in made.without(key).keys
        except RenewalFileError as error:
            assert is_quiet(str(error))


@given(FILES)
@many(200)
def test_what_is_looked_up_in_any_file_is_found_or_is_not(directory: Path, data: bytes) -> None:
    path = directory / "look" / "renewal" / "a.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    with bounded(), witness.watching(directory):
        for key in ("installer", "authenticator", "webroot_map", "autorenew", "server"):
            assert isinstance(lineages.value(path, key), (str, type(None)))
        assert isinstance(lineages.certificate_path(directory / "look", "a"), Path)
        lineages.validity(directory / "look", "a")
        lineages.guarded_behind(directory / "look", "a")
        (found,) = files.read(directory / "look")
        assert found.name == "a" and found.due() is None


@given(st.lists(FILES, min_size=1, max_size=3), st.booleans())
@many(60)
def test_adopted_and_released_any_file_is_as_it_was(directory: Path, contents: list[bytes], retire: bool) -> None:
    config_dir = directory / f"etc-{next(_number)}"
    renewal = config_dir / "renewal"
    renewal.mkdir(parents=True)
    for number, data in enumerate(contents):
        (renewal / f"lineage{number}.conf").write_bytes(data)
    (config_dir / "cli.ini").write_bytes(contents[-1])
    with bounded(), witness.watching(config_dir):
        try:
            survey = adoption.survey(config_dir, retire_hooks=retire)
            for said in (*survey.problems, *survey.remarks):
                assert is_quiet(said), said
            done = adoption.adopt(config_dir, survey.changes)
            assert all(is_quiet(str(one.problem)) for one in done)
            adoption.release(config_dir, adoption.survey_release(config_dir).changes)
        except GuardError as error:
            assert is_quiet(str(error))
    for number, data in enumerate(contents):
        if b"guard" not in data:  # a file that named the guard before is not ours to give back
            assert (renewal / f"lineage{number}.conf").read_bytes() == data
    shutil.rmtree(config_dir)


@given(st.one_of(st.binary(max_size=60), junk.map(lambda it: repr(it).encode("utf-8", "surrogatepass")), st.just(b"[" * 99_999),
                 st.fixed_dictionaries({"version": st.just(1)}, optional={
                     name: junk for name in ("before", "after", "retired", "certificate", "releasing")})))
@many(150)
def test_a_note_of_any_content_is_read_or_refused(directory: Path, content: object) -> None:
    import json

    config_dir = directory / "notes"
    path = adoption_notes.path_of(config_dir, "a")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with bounded(), witness.watching(directory):
        try:
            adoption_notes.read(config_dir, "a")
        except GuardError as error:
            assert is_quiet(str(error))


@pytest.mark.parametrize("unit", [" ", "[", "] ", "[ ", "a", "=", " = ", "\"", "'", "#", "# ", "a,", "'a',", "\t", "%(", "[a"])
def test_a_long_line_takes_no_longer_than_its_length(unit: str, directory: Path) -> None:
    path = directory / "long" / "renewal" / "a.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    for begins in ("[", "a = ", "a = \"", "[renewalparams]\ninstaller = ", ""):
        data = WHOLE.encode() + (begins + (unit * 60_000)[:60_000] + "x").encode()
        path.write_bytes(data)
        with bounded():
            try:
                renewalfile.parse(data).with_value("installer", "guard")
            except RenewalFileError:
                pass
