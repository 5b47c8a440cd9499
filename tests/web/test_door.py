"""Getting in: the first view, signing up and in, a forgotten password."""

import re

from person import PASSWORD, PHONE
from playwright.sync_api import expect


def test_the_first_view_says_what_this_is_and_where_to_read_on(window, server):
    one = window()
    one.page.goto("/")
    expect(one.page).to_have_title("로그인 · Solgik")
    expect(one.page.get_by_text("조용히, 함께 공부하는 방")).to_be_visible()
    expect(one.page.get_by_role("link", name="회원가입")).to_be_visible()
    links = [link.get_attribute("href") for link in one.page.locator("footer a").all()]
    assert "/docs/" in links
    for link in links:
        answer = one.page.request.get(link)
        assert answer.ok, answer.url


def test_signing_up_leads_into_the_house_and_out_again(window, shot):
    one = window(viewport=PHONE, language="en")
    page = one.page
    page.goto("/")
    page.get_by_role("link", name="Create an account").click()
    shot(one, "signup")
    page.get_by_label("E-mail").fill("newcomer@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password, again").fill(PASSWORD)
    page.get_by_label("Last name").fill("Kim")
    page.get_by_label("First name").fill("Sumi")
    page.get_by_label("Date of birth").fill("2001-02-03")
    page.get_by_label("Female").check()
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", name="Study rooms")).to_be_focused()
    one.connected()
    one.go("settings")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.evaluate("localStorage.getItem('solgik.session')") is None


def test_a_refusal_stands_beside_its_field(window, person):
    taken = person().email
    one = window(allowed=["status of 400"])
    page = one.page
    page.goto("/#/signup")
    page.get_by_role("button", name="가입하기").click()
    expect(page.get_by_label("이메일")).to_be_focused()
    expect(page.get_by_text("꼭 입력해 주세요.").first).to_be_visible()
    page.get_by_label("이메일").fill(taken)
    page.get_by_label("비밀번호", exact=True).fill(PASSWORD)
    page.get_by_label("비밀번호 확인").fill(PASSWORD)
    page.get_by_label("성", exact=True).fill("김")
    page.get_by_label("이름").fill("수미")
    page.get_by_label("생년월일").fill("2001-02-03")
    page.get_by_label("여자").check()
    page.get_by_role("button", name="가입하기").click()
    expect(page.get_by_label("이메일")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("이메일")).to_have_accessible_description(re.compile("이미"))


def test_a_forgotten_password_is_chosen_anew_by_the_mailed_link(window, person, server):
    who = person()
    one = window()
    page = one.page
    page.goto("/#/forgot")
    page.get_by_label("이메일").fill(who.email)
    page.get_by_role("button", name="링크 보내기").click()
    expect(page.locator(".form-message.good").first).not_to_be_empty()
    for _ in range(100):
        if letters := server.letters(who.email):
            break
        page.wait_for_timeout(50)
    link = re.search(r"/#reset\?\S+", letters[-1].get_content())[0]
    page.goto(link)
    expect(page).to_have_url(re.compile("#reset$"))  # the secret doesn't stay in the address
    page.get_by_label("새 비밀번호", exact=True).fill("eight quiet pines")
    page.get_by_label("새 비밀번호 확인").fill("eight quiet pines")
    page.get_by_role("button", name="비밀번호 바꾸기").click()
    page.get_by_label("이메일").fill(who.email)
    page.get_by_label("비밀번호").fill("eight quiet pines")
    page.get_by_role("button", name="로그인").click()
    one.connected()


def test_signing_out_elsewhere_is_seen_here(window, person, server):
    who = person()
    one = window(who)
    one.open("rooms")
    who.call("POST", "/rest-auth/logout/")
    expect(one.page.get_by_role("heading", name="로그인")).to_be_visible(timeout=2_000)
    expect(one.toast("로그인이 끝났어요")).to_be_visible()


def test_a_changed_password_ends_other_devices_and_not_this_one(window, person, server):
    who = person()
    here, there = window(who), window(who)
    other = {**who.session, "token": who.signed_in_again()}
    there.page.goto("/")
    there.page.evaluate("(session) => localStorage.setItem('solgik.session', JSON.stringify(session))", other)
    there.page.reload()
    there.connected()
    here.open("settings")
    card = here.page.locator(".card", has_text="비밀번호 바꾸기")
    card.get_by_label("지금 비밀번호").fill(PASSWORD)
    card.get_by_label("새 비밀번호", exact=True).fill("nine quiet pines")
    card.get_by_label("새 비밀번호 확인").fill("nine quiet pines")
    card.get_by_role("button").click()
    expect(there.page.get_by_role("heading", name="로그인")).to_be_visible(timeout=2_000)
    expect(card.get_by_text("비밀번호를 바꿨어요")).to_be_visible()
    here.page.reload()
    here.connected()
