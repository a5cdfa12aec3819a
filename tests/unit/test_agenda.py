"""What is due is done once, in its turn, and not at all where what came before has dropped it or put it off."""

from __future__ import annotations

import time

import pytest

from certbot_guard.agenda import Agenda


@pytest.fixture
def agenda():
    return Agenda()


def test_what_is_due_is_taken_once_and_what_is_not_stays(agenda):
    agenda.put("now", -1.0)
    agenda.put("later", 60.0)
    assert list(agenda.take_due()) == ["now"] and list(agenda.take_due()) == []
    assert 50.0 < agenda.patience() <= 60.0


def test_there_is_no_patience_without_anything_and_none_left_for_what_is_due(agenda):
    assert agenda.patience() is None
    agenda.put_at("at once", time.monotonic() - 5.0)
    assert agenda.patience() == 0.0
    agenda.drop("at once", "never there")
    assert agenda.patience() is None


def test_one_thing_has_one_time(agenda):
    agenda.put("one", -1.0)
    agenda.put_unless_there("one", 60.0)
    assert agenda.patience() == 0.0
    agenda.put("one", 60.0)
    assert list(agenda.take_due()) == []
    agenda.put_unless_there("two", -1.0)
    assert list(agenda.take_due()) == ["two"]


def test_what_the_one_before_has_dropped_or_put_off_is_not_done(agenda):
    for what in ("retry", "overdue", "hook"):
        agenda.put(what, -1.0)
    done = []
    for what in agenda.take_due():
        done.append(what)
        agenda.drop("overdue")
        agenda.put("hook", 60.0)
    assert done == ["retry"] and agenda.patience() > 50.0


def test_what_is_put_on_it_meanwhile_waits_for_the_next_time(agenda):
    agenda.put("retry", -1.0)
    for what in agenda.take_due():
        agenda.put(what, 0.0)
    assert list(agenda.take_due()) == ["retry"]
