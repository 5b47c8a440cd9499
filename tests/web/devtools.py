"""A browser without a driver's kindness: tabs that nobody looks at are hidden, and their timers are put off.

Playwright keeps every page visible and in focus, which is what other tests want.
"""

import json
import re
import subprocess
import tempfile

from websockets.sync.client import connect

from browser import EXECUTABLE, FLAGS


class Tab:
    def __init__(self, tools, target):
        self._tools = tools
        self._target = target
        self._session = tools.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]

    def go(self, url):
        self.send("Page.navigate", {"url": url})

    def show(self):
        self._tools.send("Target.activateTarget", {"targetId": self._target})

    def send(self, method, params=None):
        return self._tools.send(method, params, self._session)

    def run(self, script):
        """The value of an expression, waited for if it is a promise."""
        told = self.send("Runtime.evaluate", {"expression": script, "awaitPromise": True, "returnByValue": True})
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")


class DevTools:
    def __enter__(self):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [EXECUTABLE, "--headless=new", *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={self._profile.name}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        address = next(found[0] for line in self._process.stderr if (found := re.search(r"ws://\S+", line)))
        self._socket = connect(address, max_size=None).__enter__()
        self._calls = 0
        return self

    def __exit__(self, *_):
        self._socket.close()
        self._process.terminate()
        self._process.wait(10)
        self._process.stderr.close()
        self._profile.cleanup()

    def open(self, url="about:blank"):
        return Tab(self, self.send("Target.createTarget", {"url": url})["targetId"])

    def send(self, method, params=None, session=None):
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": params or {}}
        self._socket.send(json.dumps({**call, "sessionId": session} if session else call))
        while True:
            told = json.loads(self._socket.recv(timeout=30))
            if told.get("id") == self._calls:
                assert "error" not in told, told
                return told["result"]
