"""`solgik-client.js` taken alone, as an app developer takes it: in a page that has nothing else."""

import pytest
from playwright.sync_api import expect

ALONE = """
async (base) => {
  const module = await import('/assets/solgik-client.js');
  Object.assign(window, module);
  window.heard = [];
  window.make = (token) => {
    const client = new SolgikClient({ url: base.replace('http', 'ws') + '/ws', token, locale: 'en' });
    for (const name of ['status', 'ended', 'problem']) client.on(name, (told) => heard.push([name, told?.code ?? told]));
    return client;
  };
  window.opened = (client) => new Promise((resolve) => {
    if (client.status === 'open') return resolve();
    const off = client.on('status', (status) => { if (status === 'open') { off(); resolve(); } });
  });
}
"""


def until(page, script):
    """Waits for an expression to be true; the page's own policy forbids Playwright's way."""
    for _ in range(160):
        if page.evaluate(script):
            return
        page.wait_for_timeout(50)
    raise AssertionError(script)


@pytest.fixture
def alone(window, server):
    one = window()
    one.page.goto("/assets/favicon.svg")  # of the server's origin, and without a script
    one.page.evaluate(ALONE, server.base)
    return one


def test_it_connects_asks_and_keeps_a_picture(alone, person):
    who, other = person("수미"), person("하나")
    told = alone.page.evaluate(
        """async (token) => {
          window.client = make(token);
          client.connect();
          await opened(client);
          return [client.picture.user.id, client.picture.room];
        }""",
        who.token,
    )
    assert told == [who.id, None]
    room = other.call("POST", "/rooms/", {"name": "하나의 방"})["id"]
    picture = alone.page.evaluate(
        "(room) => client.call('room.enter', { room }).then(() => client.picture.room.members.map(({ id }) => id))", room
    )
    assert sorted(picture) == sorted([who.id, other.id])
    other.call("DELETE", f"/rooms/{room}/")
    until(alone.page, "client.picture.room.members.length === 1")
    refused = alone.page.evaluate("client.call('room.enter', { room: 999999 }).catch(({ name, code }) => [name, code])")
    assert refused == ["SolgikError", "room_not_found"]


def test_it_ends_where_returning_is_of_no_use(alone, person):
    who = person()
    alone.page.evaluate("(token) => { window.client = make('x' + token); client.connect(); }", who.token)
    until(alone.page, "client.status === 'ended'")
    assert ["ended", 4500] in alone.page.evaluate("heard")
    alone.page.evaluate("(token) => { window.client = make(token); client.connect(); }", who.token)
    until(alone.page, "client.status === 'open'")
    who.call("POST", "/rest-auth/logout/")
    until(alone.page, "client.status === 'ended'")
    assert ["ended", 4503] in alone.page.evaluate("heard")


def test_it_asks_for_a_token_before_each_connection(alone, person):
    who = person()
    asked = alone.page.evaluate(
        """async (token) => {
          let asked = 0;
          const client = make(async () => { asked += 1; return token; });
          client.connect();
          await opened(client);
          client.close();
          client.connect();
          await opened(client);
          client.close();
          return asked;
        }""",
        who.token,
    )
    assert asked == 2


def test_its_patience_grows_and_is_never_the_same(alone):
    waits = alone.page.evaluate("Array.from({ length: 12 }, (_, attempt) => [backoff(attempt, () => 1), backoff(attempt)])")
    ceilings = [ceiling for ceiling, _ in waits]
    assert ceilings[:3] == [500, 1000, 2000] and ceilings[-1] == 30_000
    assert all(0 <= wait <= ceiling for ceiling, wait in waits)


def test_a_listener_that_throws_costs_no_place(window, server, person):
    who = person()
    one = window(allowed=["mine alone"])
    one.page.goto("/assets/favicon.svg")
    one.page.evaluate(ALONE, server.base)
    one.page.evaluate(
        """async (token) => {
          window.client = make(token);
          client.on('picture', () => { throw new Error('mine alone'); });
          client.connect();
          await opened(client);
        }""",
        who.token,
    )
    who.call("POST", "/rooms/", {"name": "내 방"})
    until(one.page, "client.picture.room?.name === '내 방'")
    expect(one.page.locator("body")).to_have_count(0)  # nothing but the library
