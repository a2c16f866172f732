"""Open311 under 5,000 hostile parameter sets: a whole installation as `make run` starts it."""

from __future__ import annotations

import http.client
from collections import Counter
from urllib.request import urlopen
from xml.etree import ElementTree as ET

import pytest

from bench.system import Riverain, riverain
from tests.open311.hostile import calls, sound

SETS = 5_000

#: Gunicorn's own limit of a request's first line.
LONGEST_HEAD = 4_000


@pytest.mark.timeout(1800)
def test_no_parameter_set_brings_out_a_fault_of_ours() -> None:
    with riverain(RATE_LIMITS="off") as system:
        key = _key(system)
        statuses: Counter[int] = Counter()
        faults: list[tuple[str, str, str, bytes]] = []
        for call in calls(311, SETS, key):
            connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=30)
            try:
                headers = {
                    name: text.encode("latin-1", "replace").decode("latin-1")
                    for name, text in call.headers.items()
                }
                connection.request(call.method, call.url, body=call.body, headers=headers)
                answer = connection.getresponse()
                body = answer.read()
            except (ConnectionError, http.client.HTTPException):
                # The web server hangs up on a head that is longer than any it takes.
                if max(len(call.url), *map(len, call.headers.values())) < LONGEST_HEAD:
                    faults.append(("hung up", call.method, call.url[:200], call.body[:200]))
                statuses[0] += 1
                continue
            finally:
                connection.close()
            statuses[answer.status] += 1
            content_type = answer.headers.get("Content-Type", "")
            if answer.headers.get("Server") and not content_type.startswith("text/html"):
                wrong = sound(answer.status, content_type, body, call.method)
            else:
                # What is no HTTP at all is refused before it reaches us.
                wrong = None if answer.status in (400, 405, 414, 431) else f"status {answer.status}"
            if wrong is not None:
                faults.append((wrong, call.method, call.url[:200], body[:200]))
        print(dict(statuses))
        assert faults[:20] == []
        base = f"http://127.0.0.1:{system.port}/open311/montpellier/v2"
        for path in ("requests.xml?extensions=true", "servicerequestupdates.xml"):
            with urlopen(f"{base}/{path}") as answer:
                assert len(ET.fromstring(answer.read())) > 100


def _key(system: Riverain) -> str:
    system.flask(
        *("accounts", "create", "--email", "app@soak.example", "--role", "citizen"),
        "--password-stdin",
        input_text="a passphrase for the soak only\n",
    )
    made = system.flask("accounts", "api-key", "--email", "app@soak.example", "--name", "soak")
    return made.strip().splitlines()[-1]
