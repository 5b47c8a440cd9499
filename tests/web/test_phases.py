"""A phase change rings on time: on the screen, in the ear, and by the system; also unseen and unconnected."""

import json
import time
from datetime import datetime

from devtools import DevTools
from playwright.sync_api import expect

LATE = 1_000  # milliseconds: what a person at a desk calls on time, also on a machine that builds meanwhile


def about_to_ring(person, ahead):
    """A minute of work that is over in so many seconds; answers when, in milliseconds."""
    person.call("POST", "/accounts/timer/start/", {"total_time": 3, "work_time": 1, "break_time": 1})
    person.server.earlier(person.id, 60 - ahead)
    ends = person.call("GET", "/accounts/timer/")["run"]["ends_at"]
    return datetime.fromisoformat(ends.replace("Z", "+00:00")).timestamp() * 1000


def test_a_phase_change_rings_at_its_moment(window, person, shot):
    who = person()
    due = about_to_ring(who, 6)
    one = window(who, permissions=["notifications"])
    one.open("rooms")
    one.page.mouse.click(5, 300)  # browsers let a page sound only after a touch
    expect(one.toast("쉬는 시간이에요")).to_be_visible(timeout=10_000)
    rung = one.page.evaluate("witness.tones[0]")
    assert -100 <= rung - due < LATE, f"{rung - due} ms late"
    assert one.page.evaluate("witness.notes") == ["쉬는 시간이에요."]
    expect(one.page.locator(".timer")).to_contain_text("휴식 중")
    shot(one, "phase-rang")


def test_a_phone_rings_by_its_service_worker(window, person):
    who = person()
    about_to_ring(who, 6)
    one = window(who, permissions=["notifications"])
    # Phones have the constructor and refuse it.
    one.context.add_init_script(
        "window.Notification = class { static permission = 'granted'; constructor() { throw new TypeError('Illegal'); } }"
    )
    one.open("rooms")
    expect(one.toast("쉬는 시간이에요")).to_be_visible(timeout=10_000)
    shown = """async () => {
      const registration = await navigator.serviceWorker.getRegistration('/assets/');
      return (await registration.getNotifications()).map(({ title }) => title);
    }"""
    for _ in range(40):
        if titles := one.page.evaluate(shown):
            break
        one.page.wait_for_timeout(50)
    assert titles == ["쉬는 시간이에요."]


def test_it_rings_while_the_network_is_away(window, person, wire, server):
    who = person()
    due = about_to_ring(who, 7)
    between = wire(server.base)
    one = window(who, base=between.base, permissions=["notifications"], allowed=["ERR_"])
    one.open("rooms")
    one.page.mouse.click(5, 300)
    between.cut()
    expect(one.toast("쉬는 시간이에요")).to_be_visible(timeout=10_000)
    rung = one.page.evaluate("witness.tones[0]")
    assert -100 <= rung - due < LATE, f"{rung - due} ms late"
    between.mend()


def test_a_hidden_tab_rings_on_time(person):
    who = person()
    with DevTools() as tools:
        tools.send("Browser.grantPermissions", {"permissions": ["notifications"], "origin": who.server.base})
        tab = tools.open()
        tab.send("Page.enable")
        tab.go(f"{who.server.base}/assets/favicon.svg")  # same origin, nothing running
        time.sleep(0.3)
        tab.run(f"localStorage.setItem('solgik.session', {json.dumps(json.dumps(who.session))})")
        tab.run("localStorage.setItem('solgik.language', 'ko')")
        due = about_to_ring(who, 9)
        tab.send(
            "Page.addScriptToEvaluateOnNewDocument",
            {
                "source": "window.notes = []; window.Notification = class extends Notification {"
                " constructor(title, options) { super(title, options); notes.push([title, Date.now()]); } }"
            },
        )
        tab.go(f"{who.server.base}/#/room")
        time.sleep(1.5)
        tools.open()  # and that is the one that is looked at now
        time.sleep(0.2)
        assert tab.run("document.visibilityState") == "hidden"
        tab.run("window.turns = 0, setInterval(() => turns += 1, 50)")
        time.sleep(max(due / 1000 + 1 - time.time(), 0))
        notes = tab.run("notes")
        assert tab.run("turns") <= 10, "the page's own timers are put off, which is what makes this a test"
        assert [title for title, _ in notes] == ["쉬는 시간이에요."]
        assert -100 <= notes[0][1] - due < LATE, f"{notes[0][1] - due} ms late"
        # Whoever comes back sees the present at once.
        tab.show()
        time.sleep(0.3)
        assert tab.run("document.visibilityState") == "visible"
        assert tab.run("document.querySelector('.timer').className") == "timer running state-3"
