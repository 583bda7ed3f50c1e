"""Open a page in the user's browser, without its token on a command line."""

from __future__ import annotations

import http.server
import os
import secrets
import sys
import threading
import webbrowser

#: Where a page can be shown on Linux; elsewhere it always can.
SHOWN_BY = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def show(address: str) -> bool:
    """Open `address`; False where there is no browser to open it with.

    A browser is started with the address on its command line, which every user of this machine can
    read. So it gets another one, which leads to the real one, once.
    """
    if sys.platform.startswith("linux") and not any(map(os.environ.get, SHOWN_BY)):
        return False
    try:
        return webbrowser.open(_once(address))
    except webbrowser.Error:
        return False


def _once(address: str) -> str:
    """An address of this machine that sends the first who asks on to `address`."""
    secret = "/" + secrets.token_urlsafe(24)

    class Once(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_ours = self.path == secret
            self.send_response(302 if is_ours else 404)
            if is_ours:
                self.send_header("Location", address)
            self.end_headers()
            if is_ours:
                # From a thread of its own: shutdown waits until this request is answered.
                threading.Thread(target=server.shutdown).start()

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Once)
    threading.Thread(target=_serve, args=(server,), daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}{secret}"


def _serve(server: http.server.ThreadingHTTPServer) -> None:
    with server:
        server.serve_forever()
