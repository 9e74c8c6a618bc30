#!/usr/bin/env python3
"""An HTTP server on this machine that allows so many requests a second, and says 429 with Retry-After to any more.

    python3 server.py PORT-FILE LIMIT        the port that it listens on is written into the file
"""
import collections
import http.server
import os
import sys
import threading
import time

LIMIT = int(sys.argv[2])
lock = threading.Lock()
allowed = collections.deque(maxlen=LIMIT)  # when the last requests were allowed


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with lock:
            now = time.monotonic()
            is_too_much = len(allowed) == LIMIT and now - allowed[0] < 1
            if not is_too_much:
                allowed.append(now)
        self.send_response(429 if is_too_much else 200)
        if is_too_much:
            self.send_header("Retry-After", "1")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(server.server_port))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
