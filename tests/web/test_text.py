"""What people may write is shown as they wrote it, and does nothing."""

from playwright.sync_api import expect

SCRIPT = "<script>window.harmed=1</script>"
IMAGE = "<img src=x onerror=window.harmed=1>"
HEBREW = "שלום עולם"


def test_threat_20_markup_and_other_directions_are_harmless(window, person, shot):
    wicked, other = person(SCRIPT, "김"), person(HEBREW, "ב")
    room = wicked.call("POST", "/rooms/", {"name": IMAGE, "description": SCRIPT})["id"]
    other.call("POST", f"/rooms/{room}/", {"action": "enter"})
    wicked.call("POST", f"/accounts/friend/{other.id}/", {"flag": True})
    one = window(other)
    one.open("friends")
    expect(one.page.locator(".person", has_text=SCRIPT)).to_be_visible()
    shot(one, "text-friends")
    one.go("rooms")
    expect(one.page.locator(".room-card", has_text=IMAGE)).to_contain_text(SCRIPT)
    one.go("room")
    expect(one.page.get_by_role("heading", name=IMAGE)).to_be_visible()
    two = window(wicked)
    two.open("room")
    for text in (SCRIPT, HEBREW, "👩‍🚀" * 40, "a" * 200):
        two.page.get_by_label("응원 한마디").fill(text)
        two.page.get_by_role("button", name="보내기").click()
        expect(one.page.locator(".log .what").last).to_have_text(text)
    two.page.get_by_label("오늘의 목표").fill(IMAGE)
    two.page.get_by_role("button", name="정하기").click()
    expect(one.page.locator(".seat", has_text=IMAGE)).to_be_visible()
    shot(one, "text-room")
    for page in (one.page, two.page):
        assert page.evaluate("window.harmed") is None
        assert page.locator("script").count() == 1
        assert page.locator("img").count() == 1  # the mark of the house
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_threat_20_a_name_of_another_direction_turns_nothing_around_it(window, person):
    sumi, other = person("수미"), person(HEBREW, "ב")
    room = sumi.call("POST", "/rooms/", {"name": "새벽반"})["id"]
    one = window(sumi)
    one.open("room")
    other.call("POST", f"/rooms/{room}/", {"action": "enter"})
    expect(one.page.locator(".toasts li")).to_have_text(f"\u2068{other.name}\u2069 님이 들어왔어요")
