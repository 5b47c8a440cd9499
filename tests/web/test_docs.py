"""What is written about the service, as people read it: in both themes, on a phone and a desk, judged by axe."""

import re

import pytest
from person import LOOKS, STILL
from playwright.sync_api import expect
from server import ROOT

PAGES = ["", "guide", "guide.ko", "protocol", "session", "messages", "operating", "errors"]


@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_can_be_read(window, judge, look):
    one = window(**STILL, **LOOKS[look])
    for name in PAGES:
        one.page.goto(f"/docs/{name}")
        expect(one.page.locator("h1")).to_be_visible()
        judge(one, f"docs-{name or 'index'}-{look}")


#: How Swagger UI is built, which is not ours: a link in each operation's button, and headings that leave out a level.
THEIRS = ["nested-interactive", "heading-order"]


@pytest.mark.parametrize("look", LOOKS)
def test_the_viewer_of_the_rest_door_can_be_read(window, judge, look):
    one = window(**STILL, **LOOKS[look])
    one.context.set_default_timeout(60_000)  # a page of a megabyte and a half of script
    one.page.goto("/docs/api")
    expect(one.page.locator(".opblock").first).to_be_visible(timeout=60_000)
    judge(one, f"docs-api-{look}", without=THEIRS)


def test_one_gets_from_the_door_to_the_documents_and_back(window):
    one = window()
    one.page.goto("/")
    one.page.locator("footer a", has_text="개발 문서").click()
    expect(one.page).to_have_title("Documents · Solgik")
    one.page.get_by_role("link", name="앱 개발자 안내서").click()
    expect(one.page.locator("h1")).to_have_text("앱 개발자 안내서")
    one.page.get_by_role("link", name="Solgik", exact=True).click()
    expect(one.page).to_have_title("로그인 · Solgik")


@pytest.mark.parametrize("guide", ["guide", "guide.ko"])
def test_the_guides_script_enters_a_room(window, person, guide):
    who, host = person(), person("하나")
    room = host.call("POST", "/rooms/", {"name": "새벽반"})["id"]
    script = re.search(r"```js\n(.*?)```", (ROOT / f"src/web/docs/{guide}.md").read_text(), re.S)[1]
    for shown, here in [
        ("import { SolgikClient } from './solgik-client.js';", "const { SolgikClient } = await import('/assets/solgik-client.js');"),
        ("ws://127.0.0.1:8000", who.server.base.replace("http", "ws")),
        ("room: 42", f"room: {room}"),
    ]:
        assert shown in script
        script = script.replace(shown, here)
    one = window()
    one.page.goto("/")
    with one.page.expect_console_message() as said:
        one.page.evaluate(f"async (token) => {{ const draw = () => {{}}, signInAgain = draw; {script} }}", who.token)
    assert said.value.text == "2 people are in 새벽반"
