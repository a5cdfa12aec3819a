"""A file that a killed run left where Apache reads is replaced by the next one, with what it needs itself."""

from __future__ import annotations

import os

import pytest

from certbot_guard.proxying import loopback, placing, selfcheck
from certbot_guard.proxying.asking import Ports
from certbot_guard.servers.apache import ApacheServer
from tests.support.apache import control_program
from tests.support.site import Site

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
