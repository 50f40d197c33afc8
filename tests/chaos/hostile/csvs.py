"""Price files as people have them: a corpus of messes, and each of them damaged further."""

from __future__ import annotations

import random
from datetime import date, timedelta


def _days(count: int, first: date = date(2024, 1, 1)) -> list[date]:
    return [first + timedelta(days=n) for n in range(count)]


_ROWS = [f"{day},{10 + n % 7},{12 + n % 7},{9 + n % 7},{11 + n % 7},{1000 + n}" for n, day in enumerate(_days(60))]
_HEAD = "Date,Open,High,Low,Close,Volume"
_PLAIN = "\n".join([_HEAD, *_ROWS]) + "\n"
_GERMAN = "\n".join(
    ["Datum;Erster;Hoch;Tief;Schlusskurs;Stuecke", *(f"{d:%d.%m.%Y};1,5;2,5;1,0;2,0;1.000" for d in _days(9))]
)
_US = "\n".join(
    ["Date,Close/Last,Volume,Open,High,Low", *(f'{d:%m/%d/%Y},$11.00,"1,000",$10,$12,$9' for d in _days(9))]
)

CORPUS: tuple[bytes, ...] = tuple(
    text if isinstance(text, bytes) else text.encode()
    for text in (
        *(
            "",
            "\n",
            "\ufeff" + _PLAIN,
            _PLAIN.replace("\n", "\r\n"),
            _PLAIN.replace("\n", "\r"),
            _HEAD,
            _HEAD + "\n" + _ROWS[0],
        ),
        *(
            _GERMAN,
            _US,
            _PLAIN.replace(",", "\t"),
            _PLAIN.replace(",", ";"),
            _PLAIN.replace(",", "|"),
            _PLAIN.rstrip("\n"),
        ),
        *(
            _PLAIN + _PLAIN,
            _PLAIN + ",,,,,\n" * 5,
            "\n".join([_HEAD, *reversed(_ROWS)]),
            "\n".join([_HEAD, _ROWS[0], _ROWS[0]]),
        ),
        *(
            _PLAIN.replace("11,", "NaN,"),
            _PLAIN.replace("11,", "-1,"),
            _PLAIN.replace("11,", "0,"),
            _PLAIN.replace("11,", "1e400,"),
        ),
        *(
            _PLAIN.replace("11,", "inf,"),
            _PLAIN.replace("11,", "11e-330,"),
            _PLAIN.replace("11,", ","),
            _PLAIN.replace("11,", "n/a,"),
        ),
        *(
            _PLAIN.replace("2024-01-05", "2024-02-30"),
            _PLAIN.replace("2024", "9999"),
            _PLAIN.replace("2024-01-05", "0000-00-00"),
        ),
        *(
            "Date,Open,Date,Close\n1,2,3,4\n",
            "a,b,c\n1,2,3\n",
            ",,,\n,,,\n",
            "Date,Close\n" + "2024-01-02,5\n" * 3,
            '"' * 999,
        ),
        *(
            'Date,"Clo""se"\n2024-01-02,1\n',
            'Date,Close\n"2024-01-02,1\n',
            "Date,Close," + ",".join(f"x{n}" for n in range(500)),
        ),
        *(
            "\n".join(["Timestamp,Open,High,Low,Close", *(f"{1_700_000_000 + 86_400 * n},1,2,1,2" for n in range(40))]),
            "\x00" * 99,
        ),
        *(
            _PLAIN.encode("utf-16"),
            _PLAIN.encode("utf-32"),
            b"\xff\xfe" + _PLAIN.encode(),
            b"\x1f\x8b\x08" + bytes(60),
            b"PK\x03\x04",
        ),
        *(
            "Date,Close\n" + "\n".join(f"{d},{5 + n % 3}" for n, d in enumerate(_days(3000, date(1900, 1, 1)))),
            "=1+1,@SUM(A1)\n",
        ),
        *('{"Date": 1}', "<html><body>429</body></html>", "Date,Close\n2024-01-02,1\n" + "x" * 100_000),
    )
)


def messy(dice: random.Random) -> bytes:
    """Return a file of the corpus, most often with more wrong with it."""
    data = bytearray(dice.choice(CORPUS))
    for _ in range(dice.choice((0, 1, 1, 2, 5))):
        _damage(data, dice)
    return bytes(data)


def _damage(data: bytearray, dice: random.Random) -> None:
    place = dice.randrange(len(data) + 1)
    what = dice.randrange(7)
    if what == 0:
        del data[place:]
    elif what == 1:
        data[place:place] = dice.choice(
            (b"\x00", b"\xff", b'"', b"\n", b",", b";", b"\r", b"\xc3", b"-", b"e", b"\x1a")
        )
    elif what == 2:
        del data[place : place + dice.randrange(1, 30)]
    elif what == 3:
        data[place:place] = data[place : place + dice.randrange(1, 80)]
    elif what == 4 and place < len(data):
        data[place] = dice.randrange(256)
    elif what == 5:
        data[place:place] = dice.choice(
            (b"99999999999999999999", b"NaN", b"-inf", b"1e308", b"0x1F", b"$", "٣".encode(), b"1,000.5")
        )
    else:
        lines = data.split(b"\n")
        dice.shuffle(lines)
        data[:] = b"\n".join(lines)
