"""A TLS proxy in front of Pebble, with faults that a test sets while certbot talks to it.

Pebble builds its URLs from the Host header, so certbot meets nobody but this proxy. Endpoints go by the names of
RFC 8555: ``directory new-nonce new-account new-order order authz challenge finalize cert``, and ``*`` for all.
"""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Optional

from tests.support.ca import Pebble
from tests.support.ports import free_port

_PATHS = (
    ("/dir", "directory"), ("/nonce-plz", "new-nonce"), ("/sign-me-up", "new-account"), ("/order-plz", "new-order"),
    ("/my-order/", "order"), ("/authZ/", "authz"), ("/chalZ/", "challenge"), ("/finalize-order/", "finalize"),
    ("/certZ/", "cert"), ("/my-account/", "account"), ("/revoke-cert", "revoke"),
)
ENDPOINTS = frozenset(name for _, name in _PATHS)
_NOT_FORWARDED = {"connection", "content-length", "transfer-encoding", "keep-alive", "host"}

# What Let's Encrypt answered to the directory request on 2018-12-01, byte for byte; 178 of them.
STORY_BODY = (
    b'{\n  "type": "urn:acme:error:serverInternal",\n  "detail": "The service is down for maintenance or had an'
    b' internal error. Check https://letsencrypt.status.io/ for more details."\n}\n'
)


@dataclass(frozen=True)
class Answer:
    """A response made up by a test."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def problem(status: int, kind: str, detail: str, retry_after: Optional[str] = None,
            subproblems: Optional[list[dict[str, Any]]] = None) -> Answer:
    """A problem document; ``kind`` is the last word of its type, such as ``rateLimited``, or a whole URN."""
    urn = kind if kind.startswith("urn:") else f"urn:ietf:params:acme:error:{kind}"
    document: dict[str, Any] = {"type": urn, "detail": detail, "status": status}
    if subproblems:
        document["subproblems"] = subproblems
    headers = [("Content-Type", "application/problem+json")]
    if retry_after is not None:
        headers.append(("Retry-After", retry_after))
    return Answer(status, json.dumps(document).encode(), tuple(headers))


STORY_503 = Answer(503, STORY_BODY, (("Content-Type", "application/problem+json"), ("Server", "nginx")))


@dataclass(eq=False)
class Request:
    """One request that certbot made. ``status`` is None while it is in flight, and 0 if it was left unanswered."""

    endpoint: str
    method: str
    path: str
    body: bytes = field(repr=False)
    at: float = field(default_factory=time.monotonic)  # monotonic seconds, as are all times here
    names: frozenset[str] = frozenset()
    status: Optional[int] = None
    ended: Optional[float] = None

    @property
    def payload(self) -> Any:
        """The JSON inside the signed request, or None."""
        try:
            encoded = json.loads(self.body)["payload"]
            return json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
        except (ValueError, KeyError, TypeError):
            return None


class _LeftUnanswered(Exception):
    pass


class Fault:
    """What happens to the requests of one endpoint. Made by the methods of :class:`FaultyCA`."""

    def __init__(self, ca: FaultyCA, endpoint: str, name: Optional[str], times: Optional[int], after: int,
                 act: Callable[[Request, Callable[[], Answer]], Answer]) -> None:
        self._ca, self._endpoint, self._name, self._times, self._after, self._act = (
            ca, endpoint, name, times, after, act)
        self._released = threading.Event()
        self._forward = True
        self.requests: list[Request] = []  # those it met

    def takes(self, request: Request) -> bool:
        """Called under the lock of the CA; counts."""
        if self._endpoint not in ("*", request.endpoint) or (self._name and self._name not in request.names):
            return False
        if self._times == 0 or self._released.is_set():
            return False
        if self._after > 0:
            self._after -= 1
            return False
        if self._times is not None:
            self._times -= 1
        self.requests.append(request)
        return True

    def wait(self, timeout: float = 30.0) -> Request:
        """Return the first request it met, as soon as there is one."""
        return self._ca._wait(lambda: self.requests[0] if self.requests else None, timeout,
                              f"no request for {self._endpoint}")

    def release(self, forward: bool = True) -> None:
        """End it: requests held go on to Pebble, or (``forward=False``) are dropped. Later ones pass."""
        if not self._released.is_set():  # the end of a ``with`` changes nothing about a release before it
            self._forward = forward
        self._released.set()

    def hold(self) -> None:
        self._released.wait()
        if not self._forward:
            raise _LeftUnanswered

    def __enter__(self) -> Fault:
        return self

    def __exit__(self, *_: object) -> None:
        self.release(forward=False)


class FaultyCA:
    """The only ACME server that certbot sees. Without a fault it passes everything on to Pebble.

    :ivar directory_url: what certbot's ``--server`` takes; the same for as long as this object lives
    :ivar ca_bundle: a file with the certificate to trust
    """

    def __init__(self, pebble: Pebble) -> None:
        self.pebble = pebble
        self.port = free_port()
        self.directory_url = f"https://127.0.0.1:{self.port}/dir"
        self.ca_bundle = pebble.ca_bundle
        self._trusted = _tls(*pebble.authority.write(pebble.directory, "proxy", ["127.0.0.1", "localhost"]))
        self._untrusted: Optional[ssl.SSLContext] = None
        self._changed = threading.Condition()
        self._faults: list[Fault] = []
        self._names: dict[str, frozenset[str]] = {}  # path -> the names it is about
        self._authorizations: set[str] = set()
        self._use_untrusted = False
        self.requests: list[Request] = []
        self._server: Optional[_Server] = None
        self.listen()

    # -- faults: each lasts until clear(), or for the next `times` requests after the first `after` --------------
    # `name` limits it to orders that hold this name.

    def answer(self, endpoint: str, answer: Answer, name: Optional[str] = None, times: Optional[int] = None,
               after: int = 0) -> Fault:
        """Answer with this instead of asking Pebble."""
        return self._add(endpoint, lambda request, forward: answer, name, times, after)

    def hold(self, endpoint: str, name: Optional[str] = None, times: Optional[int] = None, after: int = 0) -> Fault:
        """Leave requests unanswered until ``release()``. ``wait()`` returns when one is in flight."""
        def act(request: Request, forward: Callable[[], Answer]) -> Answer:
            fault.hold()
            return forward()
        fault = self._add(endpoint, act, name, times, after)
        return fault

    def hold_answer(self, endpoint: str, name: Optional[str] = None, times: Optional[int] = None,
                    after: int = 0) -> Fault:
        """As :meth:`hold`, but Pebble has acted on the request already: only its answer is held back."""
        def act(request: Request, forward: Callable[[], Answer]) -> Answer:
            answered = forward()
            fault.hold()
            return answered
        fault = self._add(endpoint, act, name, times, after)
        return fault

    def drop(self, endpoint: str, name: Optional[str] = None, times: Optional[int] = None, after: int = 0) -> Fault:
        """Close the connection without an answer."""
        def act(request: Request, forward: Callable[[], Answer]) -> Answer:
            raise _LeftUnanswered
        return self._add(endpoint, act, name, times, after)

    def delay(self, endpoint: str, seconds: float, name: Optional[str] = None, times: Optional[int] = None,
              after: int = 0) -> Fault:
        """Pass on to Pebble, ``seconds`` late."""
        def act(request: Request, forward: Callable[[], Answer]) -> Answer:
            fault._released.wait(seconds)
            return forward()
        fault = self._add(endpoint, act, name, times, after)
        return fault

    def malformed(self, endpoint: str, name: Optional[str] = None, times: Optional[int] = None,
                  after: int = 0) -> Fault:
        """Answer as Pebble does, but the JSON breaks off in the middle."""
        def act(request: Request, forward: Callable[[], Answer]) -> Answer:
            true = forward()
            return Answer(true.status, true.body[: max(1, len(true.body) // 2)], true.headers)
        return self._add(endpoint, act, name, times, after)

    def change(self, endpoint: str, change: Callable[[dict[str, Any]], None], name: Optional[str] = None,
               times: Optional[int] = None, after: int = 0) -> Fault:
        """Answer as Pebble does, after ``change`` has altered the JSON object in place."""
        def act(request: Request, forward: Callable[[], Answer]) -> Answer:
            true = forward()
            document = json.loads(true.body)
            change(document)
            return Answer(true.status, json.dumps(document).encode(), true.headers)
        return self._add(endpoint, act, name, times, after)

    def bad_nonce(self, endpoint: str = "new-order", name: Optional[str] = None) -> Fault:
        """Reject every nonce, for ever."""
        return self.answer(endpoint, problem(400, "badNonce", "JWS has an invalid anti-replay nonce"), name)

    def invalid_challenge(self, name: str, detail: str, kind: str = "unauthorized") -> Fault:
        """Every authorization of ``name`` is invalid, with this detail."""
        def change(document: dict[str, Any]) -> None:
            if document.get("status") not in ("valid", "invalid"):
                return
            document["status"] = "invalid"
            for challenge in document.get("challenges", []):
                if challenge.get("type") == "http-01":
                    urn = f"urn:ietf:params:acme:error:{kind}"
                    challenge.update(status="invalid", error={"type": urn, "detail": detail, "status": 403})
        return self.change("authz", change, name)

    def _add(self, endpoint: str, act: Callable[[Request, Callable[[], Answer]], Answer], name: Optional[str],
             times: Optional[int], after: int) -> Fault:
        if endpoint != "*" and endpoint not in ENDPOINTS:
            raise ValueError(f"no such endpoint: {endpoint}")
        fault = Fault(self, endpoint, name, times, after, act)
        with self._changed:
            self._faults.append(fault)
        return fault

    def refuse(self) -> None:
        """New connections are refused from now on. (certbot keeps one connection: refuse before it starts.)"""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def listen(self) -> None:
        """The end of :meth:`refuse`."""
        if self._server is None:
            self._server = _Server(self)
            threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def untrusted(self) -> None:
        """New connections meet a certificate that nobody trusts."""
        if self._untrusted is None:
            from tests.support.authority import Authority

            self._untrusted = _tls(*Authority("stranger").write(self.pebble.directory, "stranger", ["127.0.0.1"]))
        self._use_untrusted = True

    def forget(self) -> None:
        """The request log is empty."""
        with self._changed:
            self.requests = []

    def clear(self) -> None:
        """No fault is left, nothing is held, and the request log is empty."""
        with self._changed:
            faults, self._faults = self._faults, []
            self.requests = []
        for fault in faults:
            fault.release(forward=False)
        self._use_untrusted = False
        self.listen()

    # -- what it saw -----------------------------------------------------------------------------------------------

    def seen(self, endpoint: str) -> list[Request]:
        with self._changed:
            return [request for request in self.requests if request.endpoint == endpoint]

    def wait_for(self, endpoint: str, timeout: float = 30.0, count: int = 1) -> Request:
        """Return the ``count``-th request for ``endpoint`` as soon as it has arrived.

        It may be answered by then: to act while it is in flight, use :meth:`hold`.
        """
        def found() -> Optional[Request]:
            matching = [request for request in self.requests if request.endpoint == endpoint]
            return matching[count - 1] if len(matching) >= count else None
        return self._wait(found, timeout, f"fewer than {count} requests for {endpoint}")

    def _wait(self, look: Callable[[], Optional[Request]], timeout: float, failure: str) -> Request:
        with self._changed:
            if not self._changed.wait_for(lambda: look() is not None, timeout):
                raise AssertionError(f"{failure} in {timeout} s; there were "
                                     f"{[request.endpoint for request in self.requests]}")
            found = look()
            assert found is not None
            return found

    def close(self) -> None:
        self.clear()
        self.refuse()

    # -- called by the handlers ------------------------------------------------------------------------------------

    def _arrived(self, request: Request) -> list[Fault]:
        with self._changed:
            if request.endpoint == "new-order" and isinstance(request.payload, dict):
                request.names = frozenset(str(i["value"]) for i in request.payload.get("identifiers", []))
            else:
                request.names = self._names.get(request.path, frozenset())
            self.requests.append(request)
            taken = [fault for fault in self._faults if fault.takes(request)]
            self._changed.notify_all()
            return taken

    def _learn(self, request: Request, answer: Answer) -> None:
        """Remember which URLs belong to an order, so that a fault can be limited to a name."""
        if request.endpoint not in ("new-order", "authz", "order") or answer.status >= 400:
            return
        try:
            document = json.loads(answer.body)
        except ValueError:
            return
        urls = [value for key, value in answer.headers if key.lower() == "location"]
        urls += document.get("authorizations", []) + [document.get("finalize"), document.get("certificate")]
        urls += [challenge.get("url") for challenge in document.get("challenges", [])]
        names = request.names
        if request.endpoint == "authz":
            names = frozenset([document.get("identifier", {}).get("value", "")])
        with self._changed:
            for url in urls:
                if url:
                    self._names.setdefault("/" + url.split("/", 3)[3], names)

    def _without_reuse(self, request: Request, answer: Answer) -> Answer:
        """Pebble that is told to reuse no authorization does so once in a hundred times (``rand.Intn(100) > percent``):
        then there is no challenge to go wrong. certbot asks again where its nonce is refused, and gets another order."""
        if request.endpoint != "new-order" or answer.status != 201:
            return answer
        try:
            urls = set(json.loads(answer.body).get("authorizations", []))
        except ValueError:
            return answer
        with self._changed:
            reused, self._authorizations = urls & self._authorizations, self._authorizations | urls
        if not reused:
            return answer
        refusal = problem(400, "badNonce", "this order would need no challenge")
        return Answer(refusal.status, refusal.body, refusal.headers + tuple(
            (key, value) for key, value in answer.headers if key.lower() == "replay-nonce"))

    def _finish(self, request: Request, status: int) -> None:
        with self._changed:
            request.status, request.ended = status, time.monotonic()
            self._changed.notify_all()


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, ca: FaultyCA) -> None:
        self.ca = ca
        super().__init__(("127.0.0.1", ca.port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = self.socket.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ca = self.ca
        context = ca._untrusted if ca._use_untrusted and ca._untrusted else ca._trusted
        # The handshake is left to the connection's own thread: a client that never begins it must hold up nobody.
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in the middle: nothing to say."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.request.settimeout(30)
        self.request.do_handshake()
        self.request.settimeout(None)
        super().setup()
        self._upstream: Optional[http.client.HTTPSConnection] = None

    def finish(self) -> None:
        if self._upstream is not None:
            self._upstream.close()
        super().finish()

    def do_GET(self) -> None:
        ca = self.server.ca
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(_endpoint(self.path), self.command, self.path, body)
        step: Callable[[], Answer] = lambda: self._ask_pebble(request)
        for fault in reversed(ca._arrived(request)):
            step = _bound(fault, request, step)
        try:
            answer = step()
            self._reply(answer)
            ca._finish(request, answer.status)
        except (_LeftUnanswered, OSError, http.client.HTTPException):
            ca._finish(request, 0)
            self.close_connection = True
            # RST instead of an orderly end: the client sees the connection break.
            try:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass

    do_POST = do_HEAD = do_GET

    def _ask_pebble(self, request: Request) -> Answer:
        pebble = self.server.ca.pebble
        if self._upstream is None:
            context = ssl.create_default_context(cadata=pebble.authority.certificate.decode())
            self._upstream = http.client.HTTPSConnection("127.0.0.1", pebble.port, timeout=60, context=context)
        headers = {key: value for key, value in self.headers.items() if key.lower() not in _NOT_FORWARDED}
        headers["Host"] = f"127.0.0.1:{self.server.ca.port}"
        self._upstream.request(request.method, request.path, request.body or None, headers)
        response = self._upstream.getresponse()
        answer = Answer(response.status, response.read(), tuple(
            (key, value) for key, value in response.getheaders() if key.lower() not in _NOT_FORWARDED))
        self.server.ca._learn(request, answer)
        return self.server.ca._without_reuse(request, answer)

    def _reply(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for key, value in answer.headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are in FaultyCA.requests."""


def _endpoint(path: str) -> str:
    for prefix, name in _PATHS:
        if path == prefix or path.startswith(prefix if prefix.endswith("/") else prefix + "?"):
            return name
    return "other"


def _bound(fault: Fault, request: Request, step: Callable[[], Answer]) -> Callable[[], Answer]:
    return lambda: fault._act(request, step)
