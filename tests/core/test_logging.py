"""Lines that are gathered are all written, in order, and soon."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time

from core.logging import GATHERED_FOR_S, Gathered

THREADS, LINES = 8, 500


class Counting(io.StringIO):
    """A stream that counts how often it was written to."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def test_gathered_lines_are_all_written_in_order_by_few_writes() -> None:
    stream = Counting()
    gathered = Gathered(stream)

    def work(thread: int) -> None:
        for line in range(LINES):
            gathered.write(f"{thread} {line}\n")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 10
    while stream.getvalue().count("\n") < THREADS * LINES and time.monotonic() < deadline:
        time.sleep(GATHERED_FOR_S / 4)
    written = stream.getvalue().splitlines()
    assert len(written) == THREADS * LINES
    for number in range(THREADS):
        own = [line for line in written if line.startswith(f"{number} ")]
        assert own == [f"{number} {line}" for line in range(LINES)]
    assert stream.writes < THREADS * LINES / 10


def test_a_process_that_ends_writes_what_it_gathered() -> None:
    program = (
        "import sys; from core.logging import Gathered;"
        " Gathered(sys.stderr).write('the last line\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == "the last line\n"
