"""Well-formed requests with one value, or a few, that has hurt somebody before."""

from __future__ import annotations

import copy
import http.client
import json
import random
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.chaos.hostile.answers import Answers
from tests.chaos.hostile.csvs import messy

WORDS = (
    *(
        "",
        " ",
        "\x00",
        "\n",
        "A" * 15,
        "A" * 16,
        "A" * 5000,
        "A..B",
        "../../etc/passwd",
        "..%2f..%2f",
        "%00",
        "%",
        "%zz",
    ),
    *(
        "^GSPC9",
        "AAA9",
        "aaa",
        "ÄÖÜ",
        "😀",
        "\ud800",
        "ﷺ" * 50,
        "A\u202eB",
        "٣",
        "１",
        "NaN",
        "null",
        "true",
        "__proto__",
    ),
    *(
        "'; DROP TABLE jobs; --",
        '" OR 1=1',
        "{{7*7}}",
        "${jndi:ldap://x}",
        "<script>",
        "=cmd|' /C calc'!A0",
        "-",
        "--",
        "A&B",
    ),
    *(
        "champion",
        "latest",
        "0",
        "-1",
        "1",
        "2",
        "999999999",
        "1000000000",
        "9" * 30,
        "1e309",
        "1.0",
        "+1",
        "01",
        "0x10",
    ),
    *(
        "2026-02-29",
        "2024-02-29",
        "0000-00-00",
        "9999-12-31",
        "10000-01-01",
        "0001-01-01",
        "2026-11-27T00:00:00Z",
        "1e400",
    ),
    *(
        "model.onnx",
        "spec.json",
        "manifest.json",
        "sha256:0",
        "f" * 32,
        "0" * 32,
        "close",
        "80,95",
        "80,,95",
        ",",
        "0.0001",
    ),
)
NUMBERS = (
    *(0, -0.0, 1, -1, 2, 0.5, 1e-12, 1e-320, 5e-324, 1e15, 1e16, 1e308, -1e308, 2**31, 2**31 - 1, 2**53 + 1, 2**63),
    *(
        2**63 - 1,
        -(2**63),
        2**64,
        10**30,
        float("nan"),
        float("inf"),
        float("-inf"),
        99.9999,
        100,
        366,
        367,
        5000,
        5001,
    ),
)
OTHERS = (None, True, False, [], {}, [[]], [None], {"": None}, [1] * 1000, {"a": {"b": {"c": []}}})

BODIES: dict[str, Any] = {
    "/v1/train": {
        "ticker": "AAA",
        "preset": "default",
        "data": {"source": "files", "start": "2022-01-03", "end": "2026-10-30"},
        "spec": {"units": [2], "window": 5, "epochs": 1, "features": ["returns"], "targets": [{"field": "close"}]},
        "evaluation": {"kind": "walk_forward", "n_windows": 4},
        "promote": "never",
        "priority": 0,
        "timeout_seconds": 60,
    },
    "/v1/tune": {
        "ticker": "AAA",
        "spec": {"units": [2], "window": 5, "epochs": 1},
        "search": {"method": "random", "budget_seconds": 10, "trials": 2, "space": {"window": [5, 10]}},
    },
    "/v1/backtest": {"ticker": "AAA", "spec": {"units": [2], "window": 5, "epochs": 1}},
    "/v1/refresh": {},
    "/v1/forecasts": {
        "ticker": "AAA",
        "horizon": 1,
        "level": [80.0],
        "bars": [
            {
                "session": f"2026-{1 + n // 28:02}-{1 + n % 28:02}",
                "open": 1,
                "high": 2,
                "low": 1,
                "close": 1.5 + n % 3 / 10,
            }
            for n in range(100)
        ],
    },
}
LISTS = {"/v1/train": {"tickers": ["AAA", "BBB"]}, "/v1/backtest": {"tickers": ["AAA", "BBB"]}}

STRANGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
_TICKERS = ("AAA", "BBB", "SHORT")


def send(url: str, answers: Answers, *, count: int, number: int) -> None:
    """Send ``count`` requests: paths and queries, bodies, uploads, in turn."""
    connection = _Connection(url)
    makers = (_question(answers), _order, _alias, _upload)

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32), STRANGE, st.sampled_from(makers))
    def asked(drawn: int, strange: Any, make: Callable[..., Any]) -> None:
        dice = Dice(drawn)
        dice.strange = strange
        method, path, operation, body, kind = make(dice)
        request = (method, path, body)
        try:
            status, answer = connection.ask(method, path, body, kind)
        except (OSError, http.client.HTTPException) as error:
            answers.silence("values", request, error)
            return
        answers.note("values", operation if operation in answers.documented else None, status, request, answer)

    asked()
    connection.close()


class Dice(random.Random):
    """Random numbers, and one value that Hypothesis drew for this request."""

    strange: Any = None


class _Connection:
    """A kept-alive connection, opened again when it was closed."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._open = http.client.HTTPConnection(self._address, timeout=30)

    def close(self) -> None:
        self._open.close()

    def ask(self, method: str, path: str, body: bytes | None, kind: str) -> tuple[int, bytes]:
        for last in (False, True):
            try:
                self._open.request(method, path, body, {"Content-Type": kind} if body is not None else {})
                answer = self._open.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self._open.close()
                if last:  # a kept-alive connection may have been closed between two requests, a fresh one not
                    raise
        raise AssertionError("unreachable")


def _hurt(dice: Dice) -> Any:
    kind = dice.random()
    if kind < 0.2:
        return copy.deepcopy(dice.strange)
    if kind < 0.45:
        return dice.choice(WORDS)
    if kind < 0.75:
        return dice.choice(NUMBERS)
    if kind < 0.9:
        return copy.deepcopy(dice.choice(OTHERS))
    return "".join(
        chr(dice.choice((dice.randrange(32, 127), dice.randrange(0x110000)))) for _ in range(dice.randrange(40))
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _question(answers: Answers) -> Callable[[Dice], Any]:
    """Requests without a body to every path of the schema, its parameters more or less right."""
    known = [one for one in answers.documented if one[0] in ("GET", "DELETE") and not one[1].endswith("/events")]
    posts = [("POST", "/v1/jobs/{job_id}/cancel"), ("POST", "/v1/models/{ticker}/aliases/{alias}/rollback")]
    right = {
        "ticker": _TICKERS,
        "version": ("1", "2"),
        "alias": ("champion", "blue"),
        "name": ("spec.json", "model.onnx"),
    }
    queries = ("tickers", "model", "horizon", "level", "format", "page_size", "page_token", "since", "window", "origin")
    more = ("state", "kind", "ticker", "part", "start", "end", "candidates", "top", "as_of", "strange")

    def make(dice: Dice) -> Any:
        method, path = dice.choice(known + posts if dice.random() < 0.9 else [("DELETE", one) for _, one in known])
        filled = path
        for name in ("ticker", "version", "alias", "name", "job_id"):
            value = dice.choice(right.get(name, ("0" * 32,))) if dice.random() < 0.75 else _text(_hurt(dice))
            filled = filled.replace(f"{{{name}}}", quote(value.encode("utf-8", "surrogatepass"), safe=""))
        asked = [(dice.choice((*queries, *more)), _text(_hurt(dice))) for _ in range(dice.randrange(4))]
        encoded = urlencode([(n, v.encode("utf-8", "surrogatepass")) for n, v in asked])
        return (
            method,
            filled + ("?" + encoded if asked else ""),
            (method, path) if _matches(path, filled) else None,
            None,
            "",
        )

    return make


def _matches(path: str, filled: str) -> bool:
    """Whether the filled path is still the route's: a dot segment or nothing at all is another path."""
    parts = list(zip(path.split("/"), filled.split("/"), strict=False))
    return all(b not in ("", ".", "..") for a, b in parts if a.startswith("{"))


def _order(dice: Dice) -> Any:
    path = dice.choice(list(BODIES))
    body = copy.deepcopy(BODIES[path])
    if path in LISTS and dice.random() < 0.2:
        del body["ticker"]
        body |= copy.deepcopy(LISTS[path])
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        place = dice.choice(list(_places(body)) or [()])
        body = _changed(body, place, dice)
    return "POST", path, ("POST", path), _bytes(body, dice), _kind(dice)


def _alias(dice: Dice) -> Any:
    body = {"version": 1, "reason": "why"}
    if dice.random() < 0.6:
        body[dice.choice(("version", "reason", "strange"))] = _hurt(dice)
    path = f"/v1/models/{dice.choice(_TICKERS)}/aliases/{dice.choice(('champion', 'blue', 'green', 'latest'))}"
    return "PUT", path, ("PUT", "/v1/models/{ticker}/aliases/{alias}"), _bytes(body, dice), _kind(dice)


def _upload(dice: Dice) -> Any:
    path = f"/v1/tickers/{dice.choice(('UP1', 'UP2', 'AAA'))}/bars"
    kind = "text/csv" if dice.random() < 0.95 else dice.choice(("application/json", "", "text/csv; charset=utf-16"))
    return "POST", path, ("POST", "/v1/tickers/{ticker}/bars"), messy(dice), kind


def _places(body: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a body; of a long list the first two and the last."""
    entries = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in entries:
        if isinstance(body, list) and 1 < key < len(body) - 1:
            continue
        yield (*at, key)
        yield from _places(value, (*at, key))


def _changed(body: Any, place: tuple[Any, ...], dice: Dice) -> Any:
    if not place:
        return _hurt(dice)
    inner = body
    for key in place[:-1]:
        inner = inner[key]
    if not isinstance(inner, dict | list):
        return body
    if dice.random() < 0.1 and isinstance(inner, dict):
        del inner[place[-1]]
    elif dice.random() < 0.1 and isinstance(inner, dict):
        inner[_text(_hurt(dice))] = _hurt(dice)
    else:
        inner[place[-1]] = _hurt(dice)
    return body


def _bytes(body: Any, dice: Dice) -> bytes:
    text = json.dumps(body).encode()
    fate = dice.random()
    if fate < 0.03:
        return text[: dice.randrange(len(text) + 1)]
    if fate < 0.06:
        place = dice.randrange(len(text) + 1)
        return text[:place] + bytes(dice.randrange(256) for _ in range(3)) + text[place:]
    if fate < 0.08:
        return b"[" * 20_000 + b"]" * 20_000
    if fate < 0.09:
        return text.decode().encode("utf-16")
    return text


def _kind(dice: Dice) -> str:
    odd = (
        "",
        "text/plain",
        "application/xml",
        "application/json; charset=latin-1",
        "multipart/form-data",
        "application",
    )
    return "application/json" if dice.random() < 0.95 else dice.choice(odd)
