"""What somebody may decide about themselves."""

import pytest
from playwright.sync_api import expect
from server import Refused


def test_a_product_key_is_registered_once(window, person, server):
    who = person()
    one = window(who, allowed=["status of 400"])
    one.open("settings")
    (key,) = server.keys(1)
    field = one.page.get_by_label("제품 키")
    field.fill(key)
    field.press("Enter")
    expect(one.page.get_by_text("제품 키를 등록했어요.")).to_be_visible()
    assert server.call("POST", f"/accounts/find/{key}/")["email"] == who.email
    field.fill(key)
    field.press("Enter")
    expect(one.page.locator(".card", has=field).locator(".form-message, .field-error").filter(has_text="이미")).to_be_visible()


def test_privacy_is_a_switch_and_holds(window, person):
    who, friend = person("수미"), person("하나")
    friend.call("POST", f"/accounts/friend/{who.id}/", {"flag": True})
    who.call("POST", f"/accounts/friend/{friend.id}/accept/")
    one, other = window(who), window(friend, allowed=["status of 403"])
    one.open("settings")
    one.page.get_by_role("switch", name="순위에 나타나기").uncheck()
    one.page.get_by_role("switch", name="친구에게 공부 기록 보이기").uncheck()
    expect(one.page.get_by_role("switch", name="친구에게 공부 기록 보이기")).to_be_enabled()
    one.page.reload()
    expect(one.page.get_by_role("switch", name="순위에 나타나기")).not_to_be_checked()
    other.open("friends")
    other.page.get_by_role("button", name=f"{who.name}: 기록").click()
    expect(other.toast(f"{who.name} 님은 기록을 공개하지 않아요.")).to_be_visible()


def test_a_name_and_a_time_setting_are_kept(window, person):
    who = person()
    one = window(who)
    one.open("settings")
    one.page.get_by_label("이름", exact=True).fill("수아")
    one.page.locator(".card", has_text="내 정보").get_by_role("button", name="저장").click()
    expect(one.page.get_by_text("저장했어요.")).to_be_visible()
    assert who.call("GET", f"/accounts/{who.id}/")["first_name"] == "수아"
    one.go("time")
    one.page.get_by_label("전체 시간").fill("90")
    one.page.get_by_role("button", name="25분 공부, 5분 휴식").click()
    expect(one.page.locator(".preview")).to_contain_text("25분 공부, 5분 휴식")
    one.page.get_by_role("button", name="저장").click()
    expect(one.toast("저장했어요.")).to_be_visible()
    one.page.get_by_role("button", name="타이머 시작", exact=True).click()
    expect(one.page.locator(".timer")).to_contain_text("공부 중")
    run = who.call("GET", "/accounts/timer/")["run"]
    assert (run["total_time"], run["work_time"], run["break_time"]) == (90, 25, 5)


def test_an_account_is_deleted_by_who_knows_its_address(window, person):
    who = person()
    one = window(who)
    one.open("settings")
    one.page.get_by_role("button", name="계정 삭제").click()
    dialog = one.page.get_by_role("dialog")
    field = dialog.get_by_label("확인을 위해 이메일을 입력해 주세요")
    field.fill("somebody@example.com")
    dialog.get_by_role("button", name="영구 삭제").click()
    expect(dialog.get_by_text("이메일이 달라요.")).to_be_visible()
    field.fill(who.email)
    dialog.get_by_role("button", name="영구 삭제").click()
    expect(one.page.get_by_role("heading", name="로그인")).to_be_visible()
    with pytest.raises(Refused):
        who.signed_in_again()
