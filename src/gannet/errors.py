"""The one exception that a user meets: what is wrong, which value it was, what would work."""

from __future__ import annotations


class Wrong(Exception):
    """A mistake that the reader of the message can mend.

    Args:
        what: what is wrong, as a clause: "no recipe has this name"
        got: the offending value, shown as it was given
        try_: what would work, as something to type or do
        usage: True where the call itself was wrong (exit status 2), False where the work failed (1)
    """

    def __init__(self, what: str, *, got: object = None, try_: str | None = None, usage: bool = False):
        self.what, self.got, self.try_, self.usage = what, got, try_, usage
        super().__init__(what)

    def __reduce__(self):
        return _rebuild, (type(self), self.what, self.got if self.got is None else str(self.got), self.try_, self.usage)

    @property
    def status(self) -> int:
        """Exit status of the command: 2 for wrong usage, 1 for work that failed."""
        return 2 if self.usage else 1

    def __str__(self) -> str:
        line = self.what
        if self.got is not None:
            line += f": {self.got}"
        if self.try_ is not None:
            line += f" (try {self.try_})"
        return " ".join(line.split())


def _rebuild(kind: type[Wrong], what: str, got: object, try_: str | None, usage: bool) -> Wrong:
    """For sending one from a process to another."""
    return kind(what, got=got, try_=try_, usage=usage)
