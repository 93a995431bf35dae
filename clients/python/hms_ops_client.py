"""Reports metrics of a Python service to HMS-OPS. One file, standard library only, Python 3.8 or newer.

    import hms_ops_client as ops

    with ops.timer("county_api_ms"):            # context manager, also `async with`
        call_county(payload)

    @ops.timer("docket_ms", court="county")     # decorator, of plain and of async functions
    def docket(): ...

    ops.gauge("queue_depth", 17)
    ops.counter("requests_total", total)        # the running total, not the increase

The caller pays for two clock readings and an append to a bounded queue, a few microseconds. A background
thread sends what was gathered every few seconds. Nothing here raises into the caller: trouble is counted
(`stats()`) and said once through the logger `hms_ops_client`. When the collector is away, the newest
samples are kept, the oldest are dropped and counted.

Batches are numbered (headers `Ops-Client` and `Ops-Batch`), so one that has to be sent again is applied once.

Environment, read at the first sample:

    OPS_URL            where the collector listens, default http://127.0.0.1:9900
    OPS_TOKEN          bearer token, or
    OPS_TOKEN_FILE     the file that holds it; read again for every connection
    OPS_FLUSH_SECONDS  how often samples are sent, default 2
    OPS_EXIT_SECONDS   how long the last samples may delay the end of the process, default 3
"""

import atexit
import collections
import email.utils
import functools
import http.client
import inspect
import itertools
import json
import logging
import math
import os
import random
import ssl
import sys
import threading
import time
import urllib.parse
import uuid

__all__ = ["Client", "configure", "counter", "flush", "gauge", "stats", "timer"]
__version__ = "0.1.0"

DEFAULT_URL = "http://127.0.0.1:9900"
# About 250 bytes a sample: 16 MiB at most, 50 minutes of ten calls a second by twenty threads.
QUEUE_SAMPLES_MAX = 65_536
# Encoding a batch holds the interpreter lock: 500 samples are well below a millisecond or two of it.
BATCH_SAMPLES_MAX = 500
# A quarter of what the collector takes in one request.
BATCH_BYTES_MAX = 256 * 1024
# Enough is gathered: do not wait for the interval to end.
WAKE_AT_SAMPLES = 8_192
REQUEST_SECONDS_MAX = 10.0
BACKOFF_SECONDS_FIRST = 0.25
BACKOFF_SECONDS_MAX = 30.0
# A server that asks for more than this is asked again after this.
RETRY_AFTER_SECONDS_MAX = 300.0
ANSWER_BYTES_MAX = 64 * 1024

_log = logging.getLogger("hms_ops_client")


class Client:
    """Gathers samples and sends them from a background thread, which starts with the first sample."""

    def __init__(self, url=None, token=None, token_file=None, flush_seconds=None, exit_seconds=None,
                 queue_samples_max=QUEUE_SAMPLES_MAX):
        env = os.environ
        self._address = _Address.parse(url or env.get("OPS_URL") or DEFAULT_URL)
        self._token = token or env.get("OPS_TOKEN")
        self._token_file = token_file or env.get("OPS_TOKEN_FILE")
        self._flush_seconds = _seconds(flush_seconds, env.get("OPS_FLUSH_SECONDS"), 2.0)
        self._exit_seconds = _seconds(exit_seconds, env.get("OPS_EXIT_SECONDS"), 3.0)
        self._queue_max = queue_samples_max
        self._reset()
        _clients.add(self)

    # What the caller's threads do.

    def timer(self, name, /, **labels):
        """Times a block or a function, in milliseconds, whether it ends well or by an exception."""
        return _Timer(self, name, labels)

    def gauge(self, name, value, /, **labels):
        """Reports a value as it is now."""
        self._record(name, value, labels, None)

    def counter(self, name, total, /, **labels):
        """Reports the running total of something that only grows; a restart from zero is understood."""
        self._record(name, total, labels, "counter")

    def flush(self, timeout=5.0):
        """Sends what was recorded before the call; true once the collector has answered for all of it."""
        with self._changed:
            if self._thread is None and not self._queue:
                return True
        self._start()
        with self._changed:
            self._wanted += 1
            mine = self._wanted
            self._wake = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._flushed >= mine, timeout)

    def close(self, timeout=None):
        """Sends what is left, for at most `timeout` seconds, and ends the thread. Later samples start it again."""
        try:
            seconds = self._exit_seconds if timeout is None else timeout
            if self._queue:
                self._start()
            with self._changed:
                thread, self._thread = self._thread, None
                self._give_up_at = time.monotonic() + seconds
                self._changed.notify_all()
            if thread is not None and thread is not threading.current_thread():
                thread.join(seconds)
        except Exception:  # the process is ending: nobody is left to tell
            _log.debug("closing", exc_info=True)

    def stats(self):
        """What became of the samples so far, as a dict of counts."""
        counts = dict(self._counts)
        try:
            before_oldest = self._queue[0][0] - 1
        except IndexError:
            before_oldest = self._newest
        counts["dropped"] = max(0, before_oldest - self._taken)
        counts["queued"] = len(self._queue)
        return counts

    def _record(self, name, value, labels, kind):
        # The number tells later how many were pushed out of the full queue; both calls are atomic.
        self._queue.append((next(self._numbers), name, time.time_ns(), value, labels, kind))
        if self._thread is None:
            self._start()
        elif len(self._queue) >= WAKE_AT_SAMPLES and not self._wake:
            with self._changed:
                self._wake = True
                self._changed.notify_all()

    def _start(self):
        with self._changed:
            if self._thread is not None:
                return
            self._give_up_at = None
            thread = threading.Thread(target=self._run, name="hms-ops-client", daemon=True)
            self._thread = thread
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down; or no threads are left, and we try again
                self._thread = None
                return
        self._end_with_worker_process()

    def _end_with_worker_process(self):
        # Processes of multiprocessing end without running atexit; they run these finalizers instead.
        util = sys.modules.get("multiprocessing.util")
        if util is not None and not self._finalizer:
            self._finalizer = True
            util.Finalize(None, self.close, exitpriority=0)

    def _reset(self):
        """A fresh state: at the start, and in the child of a fork, whose parent keeps what it gathered."""
        self._queue = collections.deque(maxlen=self._queue_max)
        self._numbers = itertools.count(1)
        self._newest = self._taken = 0
        self._counts = {"sent": 0, "refused": 0, "invalid": 0, "batches": 0, "retries": 0}
        self._changed = threading.Condition(threading.Lock())
        self._wake = False
        self._wanted = self._flushed = 0
        self._give_up_at = None
        self._thread = None
        self._finalizer = False
        self._connection = None
        self._troubled = False
        self._said_at = -math.inf
        # Held by the thread that sends: after `close` a new one may start before the old one is done.
        self._sender = threading.Lock()
        self._client_id = "python-%d-%s" % (os.getpid(), uuid.uuid4().hex)
        self._batch_numbers = itertools.count(1)

    # What the background thread does.

    def _run(self):
        me = threading.current_thread()
        with self._sender:
            try:
                while self._send_once(me):
                    pass
            except Exception:
                _log.warning("the metrics thread stopped; the next sample starts it again", exc_info=True)
                with self._changed:
                    if self._thread is me:
                        self._thread = None
            finally:
                self._disconnect()

    def _send_once(self, me):
        """Waits for the interval to end, a call of `flush` or of `close`, and sends; false once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._wake or self._thread is not me, self._flush_seconds)
            self._wake = False
            wanted, open_ = self._wanted, self._thread is me
        self._send_all()
        with self._changed:
            self._flushed = max(self._flushed, wanted)
            self._changed.notify_all()
        return open_

    def _send_all(self):
        while self._queue:
            body, count = self._next_batch()
            if count and not self._deliver(body, count):
                return

    def _next_batch(self):
        parts, size = [], 2
        while self._queue and len(parts) < BATCH_SAMPLES_MAX and size < BATCH_BYTES_MAX:
            number, name, at_ns, value, labels, kind = self._queue.popleft()
            self._newest = max(self._newest, number)
            self._taken += 1
            text = _encode(name, at_ns, value, labels, kind)
            if text is None:
                self._counts["invalid"] += 1
                self._say("a sample of %.80r is not a finite number, or has no name; such samples are left out", name)
                continue
            parts.append(text)
            size += len(text) + 1
        return ("[" + ",".join(parts) + "]").encode("utf-8"), len(parts)

    def _deliver(self, body, count):
        """Sends one batch until it is answered for; false if time ran out at the end of the process."""
        headers = {
            "Content-Type": "application/json",
            "Ops-Client": self._client_id,
            "Ops-Batch": str(next(self._batch_numbers)),
        }
        backoff = BACKOFF_SECONDS_FIRST
        while True:
            status, answer, pause = self._post(body, headers)
            if status == 400 or status is not None and 200 <= status < 300:
                self._answered(status, answer, count)
                return True
            if status == 413:
                self._counts["refused"] += count
                self._say("the collector at %s finds a batch of %d bytes too large", self._address.shown, len(body))
                return True
            if not self._troubled:
                self._troubled = True
                _log.warning("metrics are kept back: %s: %s %.500s", self._address.shown, status or "", answer)
            refused_at_end = status is None and pause == 0.0
            pause = max(pause, backoff * random.uniform(0.5, 1.0))
            backoff = min(backoff * 2.0, BACKOFF_SECONDS_MAX)
            self._counts["retries"] += 1
            if not self._pause(pause, refused_at_end):
                return False

    def _pause(self, seconds, nobody_listens):
        """Waits between attempts; false if there is no time for another one."""
        with self._changed:
            self._changed.wait_for(lambda: self._give_up_at is not None, seconds)
            end = self._give_up_at
        if end is None:
            return True
        # Ending: a refused connection means there is nothing to wait for.
        left = end - time.monotonic()
        if nobody_listens or left <= 0:
            return False
        time.sleep(min(0.1, left))
        return time.monotonic() < end

    def _answered(self, status, answer, count):
        if self._troubled:
            self._troubled = False
            _log.warning("the collector at %s takes metrics again", self._address.shown)
        refused = 0
        if status == 400:
            try:
                refused = int(json.loads(answer).get("refused", count))
            except (ValueError, AttributeError, TypeError):
                refused = count
            self._say("the collector refused %d of %d samples: %.500s", refused, count, answer)
        self._counts["batches"] += 1
        self._counts["refused"] += refused
        self._counts["sent"] += count - refused

    def _post(self, body, headers):
        """One attempt: (status or None, text, seconds to wait at least). None with 0 s: nobody listens."""
        for reused in (self._connection is not None, False):
            try:
                return self._exchange(body, headers)
            except ConnectionRefusedError as error:
                self._disconnect()
                return None, str(error), 0.0
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._disconnect()
                # A kept connection may have been closed by the other side meanwhile: try a new one at once.
                if not reused:
                    return None, "%s: %s" % (type(error).__name__, error), BACKOFF_SECONDS_FIRST
        raise AssertionError("the second attempt is never a reused one")

    def _exchange(self, body, headers):
        if self._connection is None:
            self._connection = self._address.connect()
            self._authorization = self._bearer()
        if self._authorization:
            headers = dict(headers, Authorization=self._authorization)
        self._connection.request("POST", self._address.path, body, headers)
        response = self._connection.getresponse()
        text = response.read(ANSWER_BYTES_MAX).decode("utf-8", "replace")
        after = _retry_after(response.getheader("Retry-After"))
        if response.will_close or not response.isclosed() or response.status == 401:
            self._disconnect()
        return response.status, text, after

    def _bearer(self):
        token = self._token
        if not token and self._token_file:
            with open(self._token_file, encoding="utf-8") as file:
                token = file.read().strip()
        return "Bearer " + token if token else None

    def _disconnect(self):
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _say(self, message, *arguments):
        """Warns, at most once a minute."""
        if time.monotonic() - self._said_at >= 60.0:
            self._said_at = time.monotonic()
            _log.warning(message, *arguments)


class _Timer:
    """One timed block, or a decorator that times every call. Blocks may nest; threads and tasks use one each."""

    __slots__ = ("_client", "_name", "_labels", "_began")

    def __init__(self, client, name, labels):
        self._client = client
        self._name = name
        self._labels = labels
        self._began = []

    def __enter__(self):
        self._began.append(time.perf_counter_ns())
        return self

    def __exit__(self, *_exception):
        ended = time.perf_counter_ns()
        self._client._record(self._name, (ended - self._began.pop()) / 1e6, self._labels, None)
        return False

    async def __aenter__(self):
        return self.__enter__()

    async def __aexit__(self, *exception):
        return self.__exit__(*exception)

    def __call__(self, function):
        client, name, labels = self._client, self._name, self._labels
        if inspect.iscoroutinefunction(function):
            @functools.wraps(function)
            async def timed(*args, **kwargs):
                with _Timer(client, name, labels):
                    return await function(*args, **kwargs)
        else:
            @functools.wraps(function)
            def timed(*args, **kwargs):
                with _Timer(client, name, labels):
                    return function(*args, **kwargs)
        return timed


class _Address:
    """Where the collector is, taken apart once."""

    def __init__(self, scheme, host, port, path):
        self.scheme, self.host, self.port, self.path = scheme, host, port, path
        self.shown = "%s://%s:%d%s" % (scheme, host, port, path)

    @classmethod
    def parse(cls, url):
        """Reads a URL; one that cannot be read is said once and replaced by the default."""
        try:
            parts = urllib.parse.urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("write http://host:port")
            port = parts.port or (443 if parts.scheme == "https" else 80)
            return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/") + "/metric")
        except ValueError as error:
            _log.warning("OPS_URL %.200r: %s; using %s", url, error, DEFAULT_URL)
            return cls.parse(DEFAULT_URL)

    def connect(self):
        if self.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                self.host, self.port, timeout=REQUEST_SECONDS_MAX, context=context)
        return http.client.HTTPConnection(self.host, self.port, timeout=REQUEST_SECONDS_MAX)


def _encode(name, at_ns, value, labels, kind):
    """A sample as JSON, or None if it has no finite value or no name."""
    try:
        value = value if type(value) is int else float(value)
        if not isinstance(name, str) or not math.isfinite(value):
            return None
        sample = {"name": name, "ts": at_ns // 1000, "val": value}
        if labels:
            sample["labels"] = {label: str(text) for label, text in labels.items()}
        if kind:
            sample["kind"] = kind
        text = json.dumps(sample, separators=(",", ":"))
        return text if len(text) <= BATCH_BYTES_MAX else None
    except Exception:  # whatever a caller's object does when it becomes text or a number
        return None


def _retry_after(text):
    """Seconds a server asks to wait: a number, or a date."""
    if not text:
        return BACKOFF_SECONDS_FIRST
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return BACKOFF_SECONDS_FIRST
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX) if math.isfinite(seconds) else BACKOFF_SECONDS_FIRST


def _seconds(given, text, default):
    try:
        seconds = float(given if given is not None else text if text else default)
        return seconds if seconds > 0 and math.isfinite(seconds) else default
    except (TypeError, ValueError):
        _log.warning("%.80r is not a number of seconds; using %s", given if given is not None else text, default)
        return default


# One client for the whole process, made at the first use.

_clients = set()
_default = None
_default_lock = threading.Lock()


def _client():
    global _default
    if _default is None:
        with _default_lock:
            if _default is None:
                _default = Client()
    return _default


def configure(**options):
    """Sets what the environment would say, for the module's own functions; the arguments of `Client`."""
    global _default
    with _default_lock:
        before, _default = _default, Client(**options)
    if before is not None:
        before.close()
        _clients.discard(before)


def timer(name, /, **labels):
    """Times a block (`with`, `async with`) or a function (decorator), in milliseconds."""
    return _Timer(_default or _client(), name, labels)


def gauge(name, value, /, **labels):
    """Reports a value as it is now."""
    (_default or _client())._record(name, value, labels, None)


def counter(name, total, /, **labels):
    """Reports the running total of something that only grows."""
    (_default or _client())._record(name, total, labels, "counter")


def flush(timeout=5.0):
    """Sends what was recorded before the call; true once the collector has answered for all of it."""
    return (_default or _client()).flush(timeout)


def stats():
    """Counts: sent, refused by the collector, invalid, dropped, queued, batches, retries."""
    return (_default or _client()).stats()


def _close_all():
    for client in list(_clients):
        client.close()


def _after_fork_in_child():
    global _default_lock
    _default_lock = threading.Lock()
    for client in _clients:
        client._reset()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
