"""The tables of each version of the state database that there was, as that version made them. They never change."""

from __future__ import annotations

_COMMON = """
CREATE TABLE told (run TEXT PRIMARY KEY, upto INTEGER NOT NULL);
CREATE TABLE runs (id TEXT PRIMARY KEY, started TEXT NOT NULL, facts TEXT NOT NULL, events TEXT NOT NULL);
"""
_ONE = _COMMON + """
CREATE TABLE messages (id TEXT PRIMARY KEY, run TEXT NOT NULL, event TEXT NOT NULL, severity TEXT NOT NULL,
                       title TEXT NOT NULL, body TEXT NOT NULL, created TEXT NOT NULL, settings TEXT NOT NULL);
CREATE TABLE outbox (message TEXT NOT NULL REFERENCES messages (id), channel TEXT NOT NULL,
                     state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'sent')),
                     doubt INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
                     reason TEXT, tried TEXT, done TEXT NOT NULL DEFAULT '[]', PRIMARY KEY (message, channel));
CREATE INDEX outbox_waiting ON outbox (channel) WHERE state != 'sent';
PRAGMA user_version = 1;
"""
_TWO = _COMMON + """
CREATE TABLE messages (id TEXT PRIMARY KEY, run TEXT NOT NULL, event TEXT NOT NULL, severity TEXT NOT NULL,
                       title TEXT NOT NULL, body TEXT NOT NULL, created TEXT NOT NULL, settings TEXT NOT NULL,
                       in_syslog INTEGER NOT NULL DEFAULT 0, subjects TEXT NOT NULL DEFAULT '[]');
CREATE TABLE outbox (message TEXT NOT NULL REFERENCES messages (id), channel TEXT NOT NULL,
                     state TEXT NOT NULL CHECK (state IN ('pending', 'sending', 'sent', 'replaced', 'given-up')),
                     doubt INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
                     reason TEXT, tried TEXT, done TEXT NOT NULL DEFAULT '[]', replaced TEXT NOT NULL DEFAULT '[]',
                     PRIMARY KEY (message, channel));
CREATE INDEX outbox_waiting ON outbox (channel) WHERE state IN ('pending', 'sending');
CREATE TABLE standing (settings TEXT NOT NULL, subject TEXT NOT NULL, name TEXT NOT NULL, key TEXT NOT NULL,
                       severity TEXT NOT NULL, words TEXT NOT NULL, since TEXT NOT NULL, seen TEXT NOT NULL,
                       lineage TEXT, not_after TEXT, PRIMARY KEY (settings, subject));
CREATE TABLE heard (settings TEXT NOT NULL, subject TEXT NOT NULL, channel TEXT NOT NULL, key TEXT NOT NULL,
                    severity TEXT NOT NULL, at TEXT NOT NULL, message TEXT NOT NULL,
                    PRIMARY KEY (settings, subject, channel));
CREATE TABLE channels (settings TEXT NOT NULL, channel TEXT NOT NULL, failures INTEGER NOT NULL, tried TEXT NOT NULL,
                       next_try TEXT NOT NULL, PRIMARY KEY (settings, channel));
PRAGMA user_version = 2;
"""
EARLIER = {1: _ONE, 2: _TWO}
