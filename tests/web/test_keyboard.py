"""The main path by keys alone, with the focus where one expects it and always seen."""

from playwright.sync_api import expect


def test_from_the_door_to_a_running_timer_and_out_again(window, person):
    who = person()
    one = window()
    page = one.page
    page.goto("/")
    press, write = page.keyboard.press, page.keyboard.type

    def to(locator, key="Tab", most=40):
        """By Tab until it has the focus, which must be seen on every stop."""
        for _ in range(most):
            if locator.evaluate("(element) => element === document.activeElement"):
                return
            press(key)
            assert page.evaluate(
                "document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== 'none'"
            ), page.evaluate("document.activeElement.outerHTML")
        raise AssertionError(f"{locator} can't be reached")

    to(page.get_by_label("이메일"))
    write(who.email)
    press("Tab")
    write("seven quiet pines")
    press("Enter")
    expect(page.get_by_role("heading", name="공부방")).to_be_focused()

    to(page.get_by_role("button", name="방 만들기"))
    press("Enter")
    expect(page.get_by_role("dialog").get_by_label("방 이름")).to_be_focused()
    press("Escape")
    expect(page.get_by_role("button", name="방 만들기")).to_be_focused()
    press("Enter")
    write("열쇠 소리")
    press("Enter")
    expect(page.get_by_role("heading", name="열쇠 소리")).to_be_focused()

    to(page.get_by_role("link", name="본문으로 건너뛰기"), "Shift+Tab")
    press("Enter")
    expect(page.locator("main")).to_be_focused()
    to(page.get_by_role("button", name="타이머 시작", exact=True), "Shift+Tab")
    press("Enter")
    expect(page.get_by_role("dialog").get_by_label("전체 시간")).to_be_focused()
    press("Enter")
    expect(page.get_by_role("button", name="타이머 일시정지")).to_be_focused()
    press("Space")
    expect(page.get_by_role("button", name="타이머 계속")).to_be_focused()

    to(page.get_by_label("오늘의 목표"))
    write("두 장")
    press("Enter")
    expect(page.locator(".seat .goal")).to_have_text("두 장")
    to(page.get_by_role("button", name="나가기"), "Shift+Tab")
    press("Enter")
    expect(page.get_by_role("heading", name="공부방")).to_be_focused()
