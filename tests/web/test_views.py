"""Every view, in both themes, both languages, on a phone and a desk: judged by axe, and left as a picture."""

import re

import pytest
from person import LOOKS, STILL, Person
from playwright.sync_api import expect
from server import Server

OUTSIDE = ["signin", "signup", "forgot", "reset"]
INSIDE = ["rooms", "room", "friends", "ranking", "study", "time", "settings"]


@pytest.fixture(scope="module")
def house():
    """A server with a little life in it, and somebody who knows everybody."""
    server = Server()
    names = [("수미", "김"), ("하나", "이"), ("도윤", "박"), ("서연", "최"), ("지호", "정"), ("유나", "강")]
    people = [Person(server, *name) for name in names]
    sumi, hana, doyun, seoyeon, jiho, yuna = people
    room = sumi.call("POST", "/rooms/", {"name": "새벽반", "description": "해 뜨기 전 두 시간, 조용히 집중해요."})["id"]
    yuna.call("POST", "/rooms/", {"name": "공무원 준비", "description": "카메라 없이 조용히", "password": "lamp"})
    for other in (hana, doyun, seoyeon):
        other.call("POST", f"/rooms/{room}/", {"action": "enter"})
        sumi.call("POST", f"/accounts/friend/{other.id}/", {"flag": True})
        other.call("POST", f"/accounts/friend/{sumi.id}/accept/")
    jiho.call("POST", f"/accounts/friend/{sumi.id}/", {"flag": True})
    for other, minutes in ((sumi, 7), (hana, 20), (doyun, 51), (seoyeon, 3)):
        other.call("POST", "/accounts/timer/start/", {"total_time": 240, "work_time": 50, "break_time": 10})
        server.earlier(other.id, 60 * minutes)
    for other in people:
        server.studied(other.id, 350 if other is sumi else 20 + other.id)
    yield sumi
    server.close()


@pytest.fixture
def judge(judge):
    def judge_view(one, name):
        expect(one.page.get_by_text(re.compile("불러오|Loading"))).to_have_count(0)
        judge(one, name)
        untold = re.findall(r"(?m)^[a-z]+\.[a-zA-Z.]+$", one.page.locator("body").inner_text())
        assert not untold, untold

    return judge_view


@pytest.mark.parametrize("look", LOOKS)
def test_the_views_at_the_door(window, house, judge, look):
    one = window(base=house.server.base, **STILL, **LOOKS[look])
    for view in OUTSIDE:
        one.page.goto(f"/#/{view}")
        expect(one.page.locator("h1")).to_be_visible()
        judge(one, f"{view}-{look}")


@pytest.mark.parametrize("look", LOOKS)
def test_the_views_inside(window, house, judge, look):
    one = window(house, **STILL, **LOOKS[look])
    one.open("rooms")
    for view in INSIDE:
        one.go(view)
        expect(one.page.locator(f'nav a[href="#/{view}"]')).to_have_attribute("aria-current", "page")
        judge(one, f"{view}-{look}")


@pytest.mark.parametrize("look", ["dark", "phone-light"])
def test_the_dialogs(window, house, judge, look):
    one = window(house, **STILL, **LOOKS[look])
    page = one.page
    one.open("friends")
    page.locator(".person", has=page.locator(".presence")).first.get_by_role("button").first.click()
    expect(page.locator("dialog .heat")).to_be_visible()
    judge(one, f"dialog-record-{look}")
    page.keyboard.press("Escape")
    one.go("rooms")
    page.locator(".page-head button").click()
    judge(one, f"dialog-create-{look}")
    page.keyboard.press("Escape")
    page.locator(".room-card", has=page.locator(".lock:visible")).get_by_role("button").click()
    judge(one, f"dialog-move-{look}")
    page.get_by_role("dialog").get_by_role("button").first.click()
    expect(page.locator("dialog input")).to_be_focused()
    judge(one, f"dialog-password-{look}")


def test_a_theme_can_be_chosen_and_stays(window, house):
    one = window(house, color_scheme="light")
    one.open("settings")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = one.page.evaluate(ground)
    one.page.get_by_role("button", name="어둡게").click()
    dark = one.page.evaluate(ground)
    assert dark != light
    one.page.reload()
    assert one.page.evaluate(ground) == dark
    one.page.get_by_role("button", name="기기와 같이").click()
    assert one.page.evaluate(ground) == light
