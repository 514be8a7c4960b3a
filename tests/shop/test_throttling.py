"""How often one may call: quotas by user and by address, told in header fields, kept without a statement."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import RequestFactory

from shop.toolkit.http.addresses import client_address
from shop.toolkit.rates import Rate, read_rate
from tests import factories
from tests.conftest import counted_statements

CHECK, ME = "/api/v1/inventory/check?product_id=1", "/api/v1/users/me"


@pytest.fixture(autouse=True)
def _small_quotas(settings) -> None:
    cache.clear()
    settings.THROTTLE_ANON = Rate(3, timedelta(hours=1))
    settings.THROTTLE_USER = Rate(5, timedelta(hours=1))


def test_an_address_has_so_many_requests_and_is_told_what_is_left(api):
    factories.product(stock=5)
    answers = [api.get(CHECK) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '"anon";q=3;w=3600'
    assert [answer.headers["ratelimit"].partition(";t=")[0] for answer in answers] == [
        '"anon";r=2', '"anon";r=1', '"anon";r=0', '"anon";r=0',
    ]  # fmt: skip
    refused = answers[-1]
    assert refused.json()["code"] == "throttled"
    assert refused.headers["content-type"] == "application/problem+json"
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    assert int(refused.headers["ratelimit"].partition(";t=")[2]) == int(refused.headers["retry-after"])
    assert api.get(CHECK, REMOTE_ADDR="192.0.2.9").status_code == 200


def test_a_user_has_a_quota_of_their_own_wherever_they_are(api):
    one, other = factories.client(factories.user()), factories.client(factories.user())
    assert [one.get(ME, REMOTE_ADDR=f"192.0.2.{n}").status_code for n in range(6)] == [200] * 5 + [429]
    assert other.get(ME).status_code == 200
    assert other.get(ME).headers["ratelimit-policy"] == '"user";q=5;w=3600'


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/v1/inventory/check?product_id=abc", {}, 400),
        ("/api/v1/users/me", {}, 401),
        ("/api/v1/users/me", {"authorization": "Bearer x.y.z"}, 401),
    ],
)
def test_what_is_refused_counts_as_well(api, path, headers, status):
    answers = [api.get(path, headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [status] * 3 + [429]
    assert answers[0].headers["ratelimit"].startswith('"anon";r=2;')


def test_who_may_not_is_counted_too(api):
    customer = factories.client(factories.user())
    statuses = [customer.get("/api/v1/inventory/items").status_code for _ in range(6)]
    assert statuses == [403] * 5 + [429]


def test_a_cache_that_does_not_answer_stops_nobody(api, settings, caplog):
    settings.CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1"}
    }
    factories.product(stock=5)
    assert api.get(CHECK).status_code == 200
    assert "The cache does not answer" in caplog.text


def test_off_is_off(api, settings):
    settings.THROTTLE_ANON = settings.THROTTLE_USER = None
    factories.product(stock=5)
    answers = [api.get(CHECK) for _ in range(10)]
    assert {answer.status_code for answer in answers} == {200}
    assert "ratelimit" not in answers[0].headers


def test_a_quota_costs_no_statement(api, settings):
    factories.product(stock=5)
    counts = []
    for rate in (settings.THROTTLE_ANON, None):
        settings.THROTTLE_ANON = rate
        with counted_statements() as statements:
            api.get(CHECK)
        counts.append(len(statements))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("text", "count", "seconds"), [("10/s", 10, 1), ("10/15m", 10, 900), ("100/h", 100, 3600), ("1/2d", 1, 172_800)]
)
def test_a_rate_is_read(text, count, seconds):
    assert read_rate(text) == Rate(count, timedelta(seconds=seconds))


@pytest.mark.parametrize("text", ["", "10", "0/s", "10/0m", "10/x", "-1/s", "1e3/s", "10 / s", "10/s\n", "\uff11/s"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match=r".*"):
        read_rate(text)


ADDRESSES = [
    (0, "192.0.2.1", "10.0.0.1", "192.0.2.1"),
    (1, "192.0.2.1", "10.0.0.1", "10.0.0.1"),
    (1, "192.0.2.1", "6.6.6.6, 10.0.0.1", "10.0.0.1"),
    (2, "192.0.2.1", "6.6.6.6, 10.0.0.1, 10.0.0.2", "10.0.0.1"),
    (2, "192.0.2.1", "10.0.0.1", "192.0.2.1"),
    (1, "192.0.2.1", "", "192.0.2.1"),
    (1, "192.0.2.1", "10.0.0.1:4711", "10.0.0.1"),
    (1, "192.0.2.1", "[2001:db8:1:2::7]:4711", "2001:db8:1:2::/64"),
    (1, "192.0.2.1", "[2001:db8:1:2::7]", "2001:db8:1:2::/64"),
    (0, "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
    (0, "::ffff:192.0.2.1", "", "192.0.2.1"),
    (1, "192.0.2.1", "x" * 200, "x" * 64),
    (0, "", "", ""),
]


@pytest.mark.parametrize(("proxies", "caller", "forwarded", "expected"), ADDRESSES)
def test_an_address_is_that_which_our_own_proxies_saw(settings, proxies, caller, forwarded, expected):
    settings.TRUSTED_PROXIES = proxies
    headers = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    assert client_address(RequestFactory().get("/", REMOTE_ADDR=caller, **headers)) == expected
