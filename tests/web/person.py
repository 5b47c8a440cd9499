"""Somebody with an account and any number of browsers, each of which is watched for what must never happen."""

import itertools
import json
import re
import time
from urllib.parse import urlsplit

from playwright.sync_api import expect

PASSWORD = "seven quiet pines"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
#: Without motion: what fades in is judged when it is there.
STILL = {"reduced_motion": "reduce"}
LOOKS = {
    "light": {"color_scheme": "light", "viewport": DESKTOP, "language": "ko"},
    "dark": {"color_scheme": "dark", "viewport": DESKTOP, "language": "en"},
    "phone-light": {"color_scheme": "light", "viewport": PHONE, "language": "en"},
    "phone-dark": {"color_scheme": "dark", "viewport": PHONE, "language": "ko"},
}
#: The page remembers what it sounded and showed; everything is really sounded and shown.
WITNESS = """
window.witness = { born: performance.timeOrigin, tones: [], notes: [] };
if (window.OscillatorNode) {
  const start = OscillatorNode.prototype.start;
  OscillatorNode.prototype.start = function (...at) { witness.tones.push(Date.now()); return start.apply(this, at); };
}
if (window.Notification) {
  window.Notification = class extends Notification {
    constructor(title, options) { super(title, options); witness.notes.push(title); }
  };
}
"""
_serial = itertools.count(1)


class Window:
    """A browser with a session of its own. What went wrong in it is told by `complaints`."""

    def __init__(self, browser, base, *, language="ko", session=None, allowed=(), **options):
        self.base = base
        self.allowed = [re.compile(one) for one in allowed]
        self.said = []
        self.hosts = set()
        self.context = browser.new_context(
            base_url=base,
            locale={"ko": "ko-KR", "en": "en-US"}[language],
            timezone_id="Asia/Seoul",
            **{"viewport": DESKTOP, **options},
        )
        self.context.set_default_timeout(8_000)
        self.context.add_init_script(WITNESS)
        if session:
            kept = json.dumps(json.dumps(session))
            # Once: who signs out stays so.
            self.context.add_init_script(
                "if (location.protocol.startsWith('http') && !localStorage.getItem('witness.came')) {"
                f"localStorage.setItem('witness.came', 'yes'); localStorage.setItem('solgik.session', {kept}); }}"
            )
        self.context.on("page", self._watch)
        self.page = self.context.new_page()

    def _watch(self, page):
        page.on("console", lambda message: message.type in ("error", "warning") and self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(f"thrown: {error}"))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).netloc))

    def complaints(self):
        """Errors in the console that were not to be expected, and hosts that are not ours."""
        foreign = self.hosts - {urlsplit(self.base).netloc, ""}
        said = [text for text in self.said if not any(one.search(text) for one in self.allowed)]
        return [*said, *(f"asked {host}" for host in foreign)]

    def open(self, view):
        """Goes to a view as a bookmark does, and waits until it is connected."""
        self.page.goto(f"/#/{view}")
        self.connected()

    def connected(self):
        expect(self.page.locator(".link")).to_have_class("link open")

    def go(self, view):
        """By the menu."""
        self.page.locator(f'nav a[href="#/{view}"]').click()

    def toast(self, text):
        return self.page.locator(".toasts li", has_text=text)


class Person:
    def __init__(self, server, first="수미", last="김"):
        self.server = server
        self.email = f"person{next(_serial)}@example.com"
        told = server.call(
            "POST",
            "/rest-auth/signup/",
            {
                "email": self.email,
                "password1": PASSWORD,
                "password2": PASSWORD,
                "last_name": last,
                "first_name": first,
                "gender": 1,
                "birth_date": "2001-02-03",
            },
        )
        self.id = told["user"]["pk"]
        self.name = told["user"]["name"]
        self.token = told["token"]
        self.session = {
            "token": told["token"],
            "user": told["user"],
            "expires_at": told["expires_at"],
            "obtained_at": round(time.time() * 1000),
        }

    def call(self, method, path, body=None):
        return self.server.call(method, path, body, self.token)

    def signed_in_again(self):
        """Another device of the same person: a session of its own."""
        return self.server.call("POST", "/rest-auth/login/", {"email": self.email, "password": PASSWORD})["token"]
