"""What the client talks to in tests: the real collector, and a server that answers as it is told."""

import http.server
import json
import os
import subprocess
import threading
import urllib.request


class Collector:
    """The real collector, alone on a bus in memory."""

    def __init__(self, token=None):
        environment = dict(os.environ)
        environment.pop("OPS_TOKEN", None)
        if token:
            environment["OPS_TOKEN"] = token
        self.process = subprocess.Popen(
            [os.environ["OPS_COLLECT_ONLY"]], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True)
        self.url = self.process.stdout.readline().strip()

    def stored(self):
        with urllib.request.urlopen(self.url + "/stored", timeout=10) as answer:
            return json.load(answer)

    def outage(self, on):
        url = "%s/outage?on=%s" % (self.url, "true" if on else "false")
        urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=10).close()

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Scripted:
    """Answers one request after the other as the script says, then always 202; keeps what it was sent.

    An answer is (status, headers, body), or None for a connection that ends without one.
    """

    def __init__(self, *script):
        script = list(script)
        self.requests = requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                requests.append((self.client_address[1], dict(self.headers), json.loads(body.decode())))
                answer = script.pop(0) if script else (202, {}, "{}")
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, text = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = "http://127.0.0.1:%d" % self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def samples(self):
        return [sample for _, _, batch in self.requests for sample in batch]

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
