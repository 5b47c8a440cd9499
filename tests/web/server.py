"""The real binary at work on a free port, in a folder of its own, and what a test may do to it from outside."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from contextlib import closing
from email import message_from_bytes, policy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("SOLGIK_TEST_BINARY", ROOT / "target/debug/solgik"))
SETTINGS = {
    "SOLGIK__ADMIN__LISTEN": "",
    # Passwords are not what is tested here; hashing them well would take most of the time.
    "SOLGIK__AUTH__HASH_MEMORY_KIB": "64",
    "SOLGIK__AUTH__HASH_PASSES": "1",
    "SOLGIK__SERVER__DRAIN_SECS": "1",
}


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status = status


class Server:
    def __init__(self, **settings):
        self.data = Path(tempfile.mkdtemp(prefix="solgik-web-"))
        self.settings = settings
        self.base = None
        self.process = None
        self.start()

    def start(self):
        """Starts it, or starts it again where it was."""
        listen = self.base.removeprefix("http://") if self.base else "127.0.0.1:0"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SOLGIK__")}
        self.process = subprocess.Popen(
            [BINARY, "serve", "--listen", listen, "--data", self.data],
            env={**kept, **SETTINGS, **self.settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        log = []
        for line in self.process.stderr:
            log.append(line)
            if found := re.search(r"serving on (http://[\d.:]+)", re.sub(r"\x1b\[\d*m", "", line)):
                self.base = found[1]
                # Whoever doesn't read a pipe stops its writer some day.
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return
        raise AssertionError("the server does not start:\n" + "".join(log))

    def stop(self):
        """As a deploy does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def freeze(self):
        """Says and hears nothing; connections stay."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.data, ignore_errors=True)

    def call(self, method, path, body=None, token=None):
        """The REST door; answers `data` where there is an envelope."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, method=method, data=sent, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                told = json.load(answer)
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode()) from error
        return told["data"] if told.get("status") == "OK" else told

    def letters(self, address):
        """The letters to somebody, the newest last."""
        files = sorted((self.data / "mail").glob("*.eml"), key=lambda file: file.stat().st_mtime)
        letters = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
        return [letter for letter in letters if address in letter["To"]]

    def keys(self, count):
        """New product keys, as the operator makes them."""
        made = self._tool("keys", "generate", str(count))
        return made.split()

    def _tool(self, *command):
        environment = {**os.environ, **SETTINGS}
        done = subprocess.run([BINARY, *command, "--data", self.data], check=True, capture_output=True, text=True, env=environment)
        return done.stdout

    def earlier(self, account, seconds):
        """Moves somebody's run into the past, before anybody watches it: a phase has minutes, a test has not."""
        by = round(seconds * 1000)
        with closing(sqlite3.connect(self.data / "solgik.db", timeout=10)) as database, database:
            changed = database.execute(
                "UPDATE run SET started_at = started_at - ?, settled_to = settled_to - ?, due_at = due_at - ?"
                " WHERE account_id = ? AND ended_at IS NULL",
                (by, by, by, account),
            )
            assert changed.rowcount == 1

    def studied(self, account, days):
        """Writes a past of so many days into the ledger; `solgik ledger rebuild` makes the totals."""
        zone, day_ms, minute = 9 * 3_600_000, 86_400_000, 60_000
        with closing(sqlite3.connect(self.data / "solgik.db", timeout=10)) as database, database:
            (now,) = database.execute("SELECT CAST(strftime('%s') AS INTEGER) * 1000").fetchone()
            today = (now + zone) // day_ms
            for back in range(1, days + 1):
                minutes = (back * 37) % 300
                if minutes < 60:
                    continue
                begins = (today - back) * day_ms - zone + (6 + back % 14) * 3_600_000
                ends = begins + minutes * minute
                run = database.execute(
                    "INSERT INTO run (account_id, total_time, work_time, break_time, started_at, ended_at, end_reason,"
                    " settled_to, seen_at) VALUES (?, 0, 0, 0, ?, ?, 'stopped', ?, ?)",
                    (account, begins, ends, ends, ends),
                ).lastrowid
                database.execute(
                    "INSERT INTO segment (run_id, account_id, phase, kind, source, from_at, to_at, day, points)"
                    " VALUES (?, ?, 0, 0, 0, ?, ?, ?, ?)",
                    (run, account, begins, ends, today - back, minutes),
                )
        self._tool("ledger", "rebuild")
