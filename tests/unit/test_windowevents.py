"""What events say of one window: opened, refused, ended, ended twice, and where a line is lost."""

from __future__ import annotations

import pytest

from certbot_guard import windowevents

ONE = {"kind": "lineage", "window": 1, "lineage": "one.test"}
NONE = {"kind": "lineage", "window": None, "lineage": "webroot.test"}
STOPPING = {"kind": "stopping", "window": 1}


def ended(kind, window=1):
    return {"kind": kind, "window": window}


def test_a_windows_lineage_is_the_last_that_was_prepared_for_it():
    again = {**ONE, "lineage": "again.test"}
    assert windowevents.lineage_of([NONE, ONE, again], 1) == again
    assert windowevents.lineage_of([NONE, ONE], 2) == {}


@pytest.mark.parametrize("events, planned", [
    ([ONE], True), ([NONE], False), ([], False), ([ONE, STOPPING], False), ([ONE, ended("left-running")], False),
    ([ONE, ended("stopping", 2)], True), ([ONE, ended("untouched")], True)])
def test_a_window_may_be_opened_once_if_it_was_prepared(events, planned):
    assert (windowevents.planned(events, 1) == ONE) is planned


@pytest.mark.parametrize("events, still_open", [
    ([ONE, STOPPING], True), ([ONE, STOPPING, ended("serving")], False), ([ONE, STOPPING, ended("left-down")], False),
    ([ONE, STOPPING, ended("serving", 2)], True), ([ONE, STOPPING, ended("serving"), STOPPING], True),
    ([ONE, ended("serving")], True), ([], True)])
def test_an_opened_window_is_open_until_an_event_ends_it(events, still_open):
    assert windowevents.is_still_open(events, 1) is still_open


@pytest.mark.parametrize("kinds, serves", [
    ((), False), (("serving",), True), (("left-down",), False), (("left-down", "serving"), True),
    (("serving", "left-down"), False)])
def test_how_a_window_ended_is_what_was_said_last(kinds, serves):
    events = [STOPPING, *map(ended, kinds), ended("left-down", 2)]
    assert windowevents.serves_since(events, 1) is serves
