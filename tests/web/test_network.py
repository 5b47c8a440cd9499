"""The network goes away and comes back: nothing is lost, nothing comes twice, nobody reloads."""

import os
import time

from person import Person
from playwright.sync_api import expect

#: Seconds without a network. Long enough for both ends to give up the connection; a minute where time is no matter.
CUT = int(os.environ.get("SOLGIK_TEST_CUT_SECS", "20"))
HEARTBEAT = 4
#: What a browser says of a network that is not there.
AWAY = ["ERR_", "closed before the connection is established"]
BRISK = {"SOLGIK__SOCKET__HEARTBEAT_SECS": str(HEARTBEAT), "SOLGIK__SOCKET__ANSWER_SECS": "3"}


def test_a_cut_loses_no_event_and_needs_no_reload(start, window, wire, shot):
    server = start(**BRISK)
    sumi, hana, dora = Person(server, "수미"), Person(server, "하나"), Person(server, "도라")
    room = sumi.call("POST", "/rooms/", {"name": "새벽반"})["id"]
    hana.call("POST", f"/rooms/{room}/", {"action": "enter"})
    between = wire(server.base)
    here, there = window(sumi, base=between.base, allowed=AWAY), window(hana)
    here.open("room")
    there.open("room")
    born = here.page.evaluate("witness.born")

    def cheer(text):
        there.page.get_by_label("응원 한마디").fill(text)
        there.page.get_by_role("button", name="보내기").click()
        expect(there.page.get_by_label("응원 한마디")).to_have_value("")

    cheer("하나")
    expect(here.page.locator(".log .cheer")).to_have_count(1)
    between.cut()
    gone = time.monotonic()
    cheer("둘")
    dora.call("POST", f"/rooms/{room}/", {"action": "enter"})
    expect(here.page.locator(".link")).not_to_have_class("link open", timeout=1_000 * 3 * HEARTBEAT)
    shot(here, "network-away")
    cheer("셋")
    dora.call("DELETE", f"/rooms/{room}/")
    hana.call("POST", "/accounts/timer/start/", {"total_time": 60, "work_time": 25, "break_time": 5})
    hana.call("POST", f"/accounts/friend/{sumi.id}/", {"flag": True})
    here.page.wait_for_timeout(max(CUT - (time.monotonic() - gone), 0) * 1000)
    cheer("넷")
    between.mend()
    here.page.evaluate("dispatchEvent(new Event('online'))")  # as the system says it when a cable is plugged in
    here.connected()
    log = here.page.locator(".log li")
    expect(here.page.locator(".log .what")).to_have_text(["하나", "둘", "셋", "넷"])
    expect(log.filter(has_text="도라 님이 들어왔어요")).to_have_count(1)
    expect(log.filter(has_text="도라 님이 나갔어요")).to_have_count(1)
    expect(here.page.locator(".seat")).to_have_count(2)
    expect(here.page.locator(".seat", has_text=hana.name)).to_contain_text("공부 중")
    expect(here.page.locator(".badge:visible")).to_have_text("1")
    cheer("다섯")
    expect(here.page.locator(".log .what")).to_have_text(["하나", "둘", "셋", "넷", "다섯"])
    assert here.page.evaluate("witness.born") == born


def test_a_deploy_is_hardly_seen(start, window):
    server = start()
    sumi, hana = Person(server, "수미"), Person(server, "하나")
    room = sumi.call("POST", "/rooms/", {"name": "새벽반"})["id"]
    hana.call("POST", f"/rooms/{room}/", {"action": "enter"})
    here, there = (window(who, allowed=[*AWAY, "503"]) for who in (sumi, hana))
    here.open("room")
    there.open("room")
    born = here.page.evaluate("witness.born")
    server.stop()
    expect(here.page.locator(".link")).not_to_have_class("link open")
    server.start()
    here.connected()
    there.connected()
    expect(here.page.locator(".seat .presence.on")).to_have_count(2)
    there.page.get_by_label("응원 한마디").fill("다시 왔어요")
    there.page.get_by_role("button", name="보내기").click()
    expect(here.page.locator(".log .what")).to_have_text(["다시 왔어요"])
    expect(here.page.locator(".log", has_text="나갔어요")).to_have_count(0)
    assert here.page.evaluate("witness.born") == born


def test_a_command_in_the_dark_is_done_once_the_light_is_back(start, window, wire):
    server = start(**BRISK)
    sumi = Person(server, "수미")
    sumi.call("POST", "/accounts/timesetting/", {"total_time": 60, "work_time": 25, "break_time": 5})
    between = wire(server.base)
    here = window(sumi, base=between.base, allowed=AWAY)
    here.open("rooms")
    between.cut()
    here.page.get_by_role("button", name="타이머 시작", exact=True).click()
    expect(here.page.locator(".link")).not_to_have_class("link open", timeout=1_000 * 3 * HEARTBEAT)
    between.mend()
    expect(here.page.get_by_role("button", name="타이머 일시정지")).to_be_visible(timeout=20_000)
    assert sumi.call("GET", "/accounts/timer/")["user_state"] == 2
    expect(here.page.locator(".toasts .bad")).to_have_count(0)
