"""Renewal configurations, edited as text. ``tests/data/renewal/certbot-*`` were written by those versions of certbot
themselves (1.21.0, 2.1.0, 4.0.0, 5.8.0, against Pebble); only directories, account, port and server were replaced."""

from __future__ import annotations

from pathlib import Path

import configobj
import pytest

from certbot_guard import renewalfile
from certbot_guard.renewalfile import RenewalFileError, parse

REAL = sorted((Path(__file__).parents[1] / "data" / "renewal").glob("certbot-*.conf"))
PLAIN = b"""\
# renew_before_expiry = 30 days
version = 2.1.0
cert = /c

# Options used in the renewal process
[renewalparams]
authenticator = standalone
pre_hook = a
# about the next one
post_hook = b
key_type = ecdsa
[[webroot_map]]
installer = /var/www/a-host-of-that-name
[acme_renewal_info]
installer = of another section
"""

# Each says the same to configobj as the line in the middle of PLAIN, and is somebody's own way to write it.
ODD = {
    "CRLF": PLAIN.replace(b"\n", b"\r\n"),
    "no line break at the end": PLAIN[:-1],
    "the section at the end, without a line break": PLAIN.split(b"\n[[webroot_map]]")[0],
    "a byte order mark": b"\xef\xbb\xbf" + PLAIN,
    "spaces and tabs": PLAIN.replace(b"key_type = ecdsa", b"\t key_type   =\tecdsa  \n\n  "),
    "no spaces": PLAIN.replace(b" = ", b"="),
    "an indented section": PLAIN.replace(b"[renewalparams]", b"   [ renewalparams ]  # ours"),
    "a quoted section and quoted keys": PLAIN.replace(b"[renewalparams]", b'["renewalparams"]').replace(
        b"key_type =", b'"key_type" ='),
    "lists": PLAIN.replace(b"key_type = ecdsa",
                           b"key_type = ecdsa\npref_challs = http-01,\ndomains = a, 'b, c', \"d\" # e"),
    "a value over several lines": PLAIN.replace(b"post_hook = b",
                                                b"post_hook = '''one\n[renewalparams]\ninstaller = x'''"),
    "a value over several lines, at the end": PLAIN.replace(b"key_type = ecdsa", b'key_type = """a\nb\n"""  # c'),
    "letters of other alphabets": PLAIN.replace(b"about", "über Größe 証明書".encode()),
    "hashes and equal signs in quotes": PLAIN.replace(b"pre_hook = a", b"pre_hook = 'a # = b' # c = d"),
    "no keys in the section": PLAIN.split(b"authenticator")[0] + b"[[webroot_map]]\na = b\n",
    "nothing behind the section": PLAIN.split(b"authenticator")[0][:-1],
}


def _parameters(data: bytes) -> dict[str, object]:
    lines = [line + b"\n" for line in data.split(b"\n")]
    return dict(configobj.ConfigObj(lines, encoding="utf-8", interpolation=False)["renewalparams"])


def test_there_are_real_files_of_four_versions() -> None:
    assert {path.name.split("-")[1] for path in REAL} == {"1.21", "2.1", "4.0", "5.8"}


@pytest.mark.parametrize("data", [*(path.read_bytes() for path in REAL), *ODD.values()],
                         ids=[*(path.stem for path in REAL), *ODD])
def test_a_key_that_is_set_and_taken_out_again_leaves_every_byte_as_it_was(data: bytes) -> None:
    before = parse(data)
    assert before.data == data
    there = before.with_value("installer", "guard")
    assert _parameters(there.data) == {**_parameters(data), "installer": "guard"}
    assert len(there.lines) == len(before.lines) + 1
    gone = there.without("installer").data
    # Where the new line was the last one of a file without a line break, the one before it has got one.
    assert gone == data or gone in (data + b"\n", data + b"\r\n")


@pytest.mark.parametrize("data", [*(path.read_bytes() for path in REAL), *ODD.values()],
                         ids=[*(path.stem for path in REAL), *ODD])
def test_any_key_that_is_taken_out_can_be_put_back_to_the_byte(data: bytes) -> None:
    before = parse(data)
    for key in before.keys:
        without = before.without(key)
        assert key not in _parameters(without.data)
        back = without.put_back(key, before).data
        assert back.rstrip(b"\r\n") == data.rstrip(b"\r\n"), key


@pytest.mark.parametrize("line, expected", [
    (b"installer = apache", b"installer = guard"),
    (b"installer=apache", b"installer=guard"),
    (b"  installer\t= 'apache'   # mine, not yours", b"  installer\t= guard   # mine, not yours"),
    (b'"installer" = "a # b"# c', b'"installer" = guard # c'),
    (b"installer =", b"installer = guard"),
    (b"installer = None", b"installer = guard"),
    (b"installer = apache, nginx", b"installer = guard"),
    (b"installer = '''a\nb'''", b"installer = guard"),
])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_value_is_replaced_in_its_place_and_the_line_keeps_its_form(line: bytes, expected: bytes, end: bytes) -> None:
    line, expected = line.replace(b"\n", end), expected
    data = PLAIN.replace(b"\n", end).replace(b"pre_hook = a", line)
    before = parse(data)
    made = before.with_value("installer", "guard")
    assert made.data == PLAIN.replace(b"\n", end).replace(b"pre_hook = a", expected)
    assert made.put_back("installer", before).data == data


def test_a_hook_comes_back_behind_what_it_stood_behind_in_a_file_that_changed_meanwhile() -> None:
    before = parse(PLAIN)
    later = parse(before.without("pre_hook").without("post_hook").data.replace(b"2.1.0", b"5.8.0").replace(
        b"authenticator = standalone\n# about the next one\n",
        b"authenticator = webroot\n# about the next one\nserver = new\n").replace(b"\n", b"\r\n"))
    back = later.put_back("pre_hook", before).put_back("post_hook", before)
    assert back.data.decode().split("\r\n")[5:13] == [
        "[renewalparams]", "authenticator = webroot", "pre_hook = a", "# about the next one", "post_hook = b",
        "server = new", "key_type = ecdsa", "[[webroot_map]]"]
    assert b"\n" not in back.data.replace(b"\r\n", b"")


def test_a_hook_comes_back_below_the_comment_about_it() -> None:
    before = parse(PLAIN)
    back = before.without("post_hook").put_back("post_hook", before)
    assert b"# about the next one\npost_hook = b\nkey_type" in back.data


@pytest.mark.parametrize("data, words", [
    (b"", "no section"),
    (b"cert = /c\n", "no section"),
    (b"renewalparams = x\n", "no section"),
    (PLAIN + b"[renewalparams]\n", "line 16"),
    (PLAIN.replace(b"pre_hook = a", b"pre_hook"), "line 8"),
    (PLAIN.replace(b"pre_hook = a", b"key_type = twice"), "line 11"),
    (PLAIN.replace(b"pre_hook = a", b"pre_hook = '''a"), "as certbot could read it"),
    (PLAIN.replace(b"[[web", b"[[[web"), "line 12"),
    (PLAIN.replace(b"pre_hook = a", b"pre_hook = \xff"), "line 8 is not UTF-8"),
    (PLAIN.replace(b"pre_hook = a", "pre_hook = a\u2028b".encode()), "line 8 has a line break of another kind"),
    (PLAIN.replace(b"pre_hook = a", b"pre_hook = a\x0cb"), "line 8 has a line break of another kind"),
    (PLAIN.replace(b"\n", b"\r"), "line 1 has a line break of another kind"),
    (b"\x00" * 5000, "as certbot could read it"),
    (b"[" * 3000 + b"a" + b"]" * 3000, "as certbot could read it"),
])
def test_what_certbot_cannot_read_is_refused_in_one_sentence_that_quotes_nothing(data: bytes, words: str) -> None:
    with pytest.raises(RenewalFileError) as caught:
        parse(data)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "pre_hook" not in str(caught.value)


def test_an_edit_that_configobj_would_read_otherwise_is_refused() -> None:
    with pytest.raises(RenewalFileError, match="by hand"):
        parse(PLAIN).with_value("installer", "guard # not a value")


def test_none_and_a_list_are_no_value() -> None:
    file = parse(PLAIN.replace(b"pre_hook = a", b"pre_hook = None\nrenew_hook = a, b"))
    assert [file.get(key) for key in ("pre_hook", "renew_hook", "nothing", "post_hook")] == ["", "", "", "b"]
    assert renewalfile.SECTION == "renewalparams"
