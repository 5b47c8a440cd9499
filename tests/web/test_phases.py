"""A phase change rings on time: on the screen, in the ear, and by the system; also unseen and unconnected."""

import json
import time
from datetime import datetime

from devtools import DevTools
from person import Person
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


#: What browsers do to a page that nobody has looked at for five minutes: its own timers run once a minute.
ASLEEP = """
for (const [name, later] of Object.entries({ setTimeout, setInterval }))
  window[name] = (then, delay = 0, ...rest) => later(then, document.hidden ? Math.max(delay, 60_000) : delay, ...rest);
"""
NOTES = """
window.notes = [];
window.Notification = class extends Notification {
  constructor(title, options) { super(title, options); notes.push([title, Date.now()]); }
};
"""


def hidden_tab(tools, who, *scripts):
    """A tab with somebody's timer in it, put behind another one; answers when the timer's phase changes, too."""
    tools.send("Browser.grantPermissions", {"permissions": ["notifications"], "origin": who.server.base})
    tab = tools.open()
    tab.send("Page.enable")
    tab.go(f"{who.server.base}/assets/favicon.svg")  # same origin, nothing running
    time.sleep(0.3)
    tab.run(f"localStorage.setItem('solgik.session', {json.dumps(json.dumps(who.session))})")
    tab.run("localStorage.setItem('solgik.language', 'ko')")
    due = about_to_ring(who, 20)
    for script in (ASLEEP, NOTES, *scripts):
        tab.send("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    tab.go(f"{who.server.base}/#/room")
    while tab.run("document.querySelector('.link')?.className") != "link open":
        assert time.time() * 1000 < due, "it doesn't connect"
        time.sleep(0.1)
    tools.open()  # and that is the one that is looked at now
    time.sleep(0.2)
    assert tab.run("document.visibilityState") == "hidden"
    return tab, due


def test_a_hidden_tab_rings_on_time_by_its_worker(start):
    server = start()
    with DevTools() as tools:
        tab, due = hidden_tab(tools, Person(server))
        server.freeze()  # no word from outside, either
        time.sleep(max(due / 1000 + 1 - time.time(), 0))
        notes = tab.run("notes")
        server.thaw()
        assert [title for title, _ in notes] == ["쉬는 시간이에요."]
        assert -100 <= notes[0][1] - due < LATE, f"{notes[0][1] - due} ms late"
        # Whoever comes back sees the present at once, and hears nothing twice.
        tab.show()
        time.sleep(0.3)
        assert tab.run("document.visibilityState") == "visible"
        assert tab.run("document.querySelector('.timer').className") == "timer running state-3"
        assert len(tab.run("notes")) == 1


def test_nothing_else_would_ring_in_a_hidden_tab(start):
    """What makes the test above one of the worker: without it, it is silent until somebody looks."""
    server = start()
    with DevTools() as tools:
        tab, due = hidden_tab(tools, Person(server), "delete window.Worker;")
        server.freeze()
        time.sleep(max(due / 1000 + 1 - time.time(), 0))
        notes = tab.run("notes")
        server.thaw()
        assert notes == []
        tab.show()
        time.sleep(0.3)
        assert [title for title, _ in tab.run("notes")] == ["쉬는 시간이에요."]
