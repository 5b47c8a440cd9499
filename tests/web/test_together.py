"""Two browsers at once: what one does, the other sees within a second, without touching anything."""

import pytest
from playwright.sync_api import expect

SECOND = 1_000


@pytest.fixture
def pair(window, person):
    """Two people, the first of whom has made a room and sits in it."""
    sumi, hana = person("수미"), person("하나", "이")
    sumi.room = sumi.call("POST", "/rooms/", {"name": f"새벽반 {sumi.id}"})["id"]
    here, there = window(sumi), window(hana)
    return sumi, hana, here, there


def test_entering_and_leaving_are_seen_within_a_second(pair, shot):
    sumi, hana, here, there = pair
    here.open("room")
    there.open("rooms")
    card = there.page.locator(".room-card", has_text=f"새벽반 {sumi.id}")
    expect(card).to_contain_text("1명 입실")
    card.get_by_role("button").click()
    seat = here.page.locator(".seat", has_text=hana.name)
    expect(seat).to_contain_text("접속 중", timeout=SECOND)
    expect(here.toast(f"{hana.name} 님이 들어왔어요")).to_be_visible(timeout=SECOND)
    expect(there.page.locator(".seat")).to_have_count(2)
    shot(here, "room-two")
    there.page.get_by_role("button", name="나가기").click()
    expect(seat).to_have_count(0, timeout=SECOND)
    expect(there.page.get_by_role("heading", name="공부방")).to_be_visible()


def test_counts_in_the_corridor_are_live(pair):
    sumi, hana, here, there = pair
    there.open("rooms")
    card = there.page.locator(".room-card", has_text=f"새벽반 {sumi.id}")
    expect(card).to_contain_text("0명 접속 중")
    here.open("room")
    expect(card).to_contain_text("1명 접속 중", timeout=2 * SECOND)
    expect(card.locator(".windows .on")).to_have_count(1)


def test_a_new_room_appears_in_the_corridor_by_itself(window, person):
    watcher, maker = window(person()), person()
    watcher.page.clock.install()
    watcher.open("rooms")
    maker.call("POST", "/rooms/", {"name": f"방금 연 방 {maker.id}"})
    watcher.page.clock.run_for(30_000)
    expect(watcher.page.locator(".room-card", has_text=f"방금 연 방 {maker.id}")).to_be_visible()


def test_goals_and_cheers_arrive(pair):
    sumi, hana, here, there = pair
    hana.call("POST", f"/rooms/{sumi.room}/", {"action": "enter"})
    here.open("room")
    there.open("room")
    here.page.get_by_label("오늘의 목표").fill("기출 세 회")
    here.page.get_by_role("button", name="정하기").click()
    expect(there.page.locator(".seat", has_text=sumi.name)).to_contain_text("기출 세 회", timeout=SECOND)
    there.page.get_by_label("응원 한마디").fill("힘내요!")
    there.page.get_by_role("button", name="보내기").click()
    expect(here.page.locator(".log .cheer")).to_contain_text("힘내요!", timeout=SECOND)
    expect(there.page.locator(".log .cheer")).to_have_count(1)


def test_a_timer_is_seen_to_move_by_everybody(pair):
    sumi, hana, here, there = pair
    hana.call("POST", f"/rooms/{sumi.room}/", {"action": "enter"})
    here.open("room")
    there.open("room")
    here.page.get_by_role("button", name="시간을 골라").click()
    dialog = here.page.get_by_role("dialog")
    for label, minutes in (("전체 시간", "3"), ("공부 시간", "1"), ("쉬는 시간", "1")):
        dialog.get_by_label(label).fill(minutes)
    dialog.get_by_role("button", name="시작").click()
    seat = there.page.locator(".seat", has_text=sumi.name)
    expect(seat).to_contain_text("공부 중", timeout=SECOND)
    for ring in (seat.locator(".ring-arc"), here.page.locator(".timer .ring-arc")):
        before = ring.get_attribute("stroke-dasharray")
        expect(ring).not_to_have_attribute("stroke-dasharray", before, timeout=2 * SECOND)
    here.page.get_by_role("button", name="일시정지").click()
    expect(seat).to_contain_text("일시정지", timeout=SECOND)
    here.page.get_by_role("button", name="계속").click()
    expect(seat).to_contain_text("공부 중", timeout=SECOND)
    here.page.get_by_role("button", name="끝내기").click()
    expect(seat).to_contain_text("대기", timeout=SECOND)


def test_a_request_arrives_is_accepted_and_friends_see_each_other(pair, shot):
    sumi, hana, here, there = pair
    here.open("friends")
    there.open("friends")
    here.page.get_by_label("이름 또는 정확한 이메일").fill(hana.email)
    here.page.get_by_role("button", name="찾기").click()
    here.page.get_by_role("button", name=f"{hana.name}: 친구 요청").click()
    expect(there.toast(f"{sumi.name} 님이 친구 요청을 보냈어요")).to_be_visible(timeout=SECOND)
    expect(there.page.locator(".badge:visible")).to_have_text("1")
    shot(there, "friend-request")
    there.page.get_by_role("button", name=f"{sumi.name}: 수락").click()
    friend = here.page.locator(".people", has_text=hana.name).first.locator(".person", has_text=hana.name)
    expect(friend.locator(".presence.on")).to_be_visible(timeout=SECOND)
    expect(there.page.locator(".badge:visible")).to_have_count(0)
    record = friend.get_by_role("button", name=f"{hana.name}: 기록")
    record.click()
    expect(here.page.get_by_role("dialog", name=f"{hana.name} 님의 기록")).to_contain_text("연속 공부")
    shot(here, "friend-record")
    here.page.keyboard.press("Escape")
    expect(record).to_be_focused()
    there.go("settings")
    there.page.get_by_role("button", name="로그아웃").click()
    expect(friend.locator(".presence.on")).to_have_count(0, timeout=2 * SECOND)


def test_a_locked_room_asks_and_a_wrong_answer_costs_no_seat(pair):
    sumi, hana, here, there = pair
    here.open("rooms")
    locked = hana.call("POST", "/rooms/", {"name": f"비밀 {hana.id}", "password": "lamp"})["id"]
    here.page.reload()
    here.connected()
    here.page.locator(".room-card", has_text=f"비밀 {hana.id}").get_by_role("button").click()
    here.page.get_by_role("button", name="옮기기").click()
    field = here.page.get_by_role("dialog").get_by_label("비밀번호")
    field.fill("wrong")
    field.press("Enter")
    expect(field).to_have_attribute("aria-invalid", "true")
    assert sumi.call("GET", "/rooms/check/")["id"] == sumi.room
    field.fill("lamp")
    field.press("Enter")
    expect(here.page.get_by_role("heading", name=f"비밀 {hana.id}", level=1)).to_be_visible()
    assert sumi.call("GET", "/rooms/check/")["id"] == locked


def test_both_tabs_of_one_person_show_the_same(window, person):
    who = person()
    one = window(who)
    one.open("rooms")
    second = one.context.new_page()
    second.goto("/#/rooms")
    expect(second.locator(".link")).to_have_class("link open")
    second.get_by_role("button", name="타이머 시작", exact=True).click()
    second.get_by_role("dialog").get_by_role("button", name="시작").click()
    expect(one.page.get_by_role("button", name="타이머 일시정지")).to_be_visible(timeout=SECOND)
    one.go("settings")
    one.page.get_by_role("button", name="로그아웃").click()
    expect(second.get_by_role("heading", name="로그인")).to_be_visible(timeout=SECOND)
