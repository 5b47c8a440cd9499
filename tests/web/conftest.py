"""The web client in a real browser, against the real binary.

`.ci/web` brings the tools and names the browser in `SOLGIK_TEST_BROWSER`. Screenshots are left in `target/web/`.
"""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import EXECUTABLE, FLAGS
from person import Person, Window
from playwright.sync_api import sync_playwright
from server import ROOT, Server
from wire import Wire

SHOTS = ROOT / "target/web"


@pytest.fixture(scope="session")
def browser():
    assert EXECUTABLE, "SOLGIK_TEST_BROWSER names no browser"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def start():
    """Servers of one's own, with other settings."""
    servers = []

    def start(**settings):
        servers.append(Server(**settings))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def wire():
    wires = []

    def lay(base):
        wires.append(Wire(base))
        return wires[-1]

    yield lay
    for one in wires:
        one.close()


@pytest.fixture
def window(browser, server):
    """Browsers, watched: at the end none of them may have complained or asked a foreign host."""
    windows = []

    def window(person=None, base=None, **options):
        session = person and person.session
        windows.append(Window(browser, base or (person.server if person else server).base, session=session, **options))
        return windows[-1]

    yield window
    complaints = [complaint for one in windows for complaint in one.complaints()]
    for one in windows:
        one.context.close()
    assert not complaints


@pytest.fixture
def shot():
    """Leaves a picture of a page for people to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    return lambda window, name: window.page.screenshot(path=SHOTS / f"{name}.png")


@pytest.fixture
def judge(shot):
    """A page that anybody can use: axe finds nothing, and nothing is wider than the window. Leaves its picture."""

    def judge(one, name, without=()):
        shot(one, name)
        # Nothing preloaded: axe would write styles into the page, which the page's own policy refuses.
        rules = {rule: {"enabled": False} for rule in without}
        found = Axe().run(one.page, options={"resultTypes": ["violations"], "preload": False, "rules": rules})
        assert found.violations_count == 0, found.generate_report()
        assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than the window"

    return judge


@pytest.fixture
def person(server):
    return lambda *names: Person(server, *names)
