"""A handler that asks a server, and passes on what the server says of its limits: the port is in the file `port`."""
import urllib.error
import urllib.request

with open("port") as file:
    PORT = int(file.read())


class TooMany(Exception):
    """The server's 429: this job waits for `retry_after` seconds, and so does the whole pool (`pause`)."""

    def __init__(self, retry_after):
        super().__init__("too many requests")
        self.retry_after, self.pause = retry_after, True


def fetch(name):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/{name}") as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        if error.code != 429:
            raise
        raise TooMany(float(error.headers["Retry-After"])) from None
