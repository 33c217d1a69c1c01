"""What was found, said while it is found."""

import sys
import time

from .vm import Failed


class Report:
    """The lines of one run."""

    def __init__(self):
        self.failed = 0
        self.begun = time.monotonic()

    def say(self, text):
        """Progress."""
        print(f"[{time.monotonic() - self.begun:5.1f} s] {text}", file=sys.stderr, flush=True)

    def title(self, text):
        print(text, flush=True)

    def note(self, text):
        """A figure that nothing is asked of."""
        print(f"          {text}", flush=True)

    def check(self, name, function, *arguments):
        """Runs a check. It fails by an exception; what it returns is shown. True when it passed."""
        try:
            told = function(*arguments)
        except (Failed, OSError) as error:
            self.failed += 1
            print(f"  FAILED  {name}: {error}", flush=True)
            return False
        print(f"  ok      {name}{': ' + told if told else ''}", flush=True)
        return True
