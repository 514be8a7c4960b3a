class Refusal(Exception):
    """Base of every exception by which a service says no.

    A subclass is named as the fact and carries the facts as attributes; `str()` is the sentence for a person. HTTP
    knows how to answer each of them in `shop/answers.py`; a test holds that table complete.
    """


class InvalidCursor(Refusal):
    """The page cursor was not issued by this server for this list and ordering."""

    def __init__(self) -> None:
        super().__init__("This list did not issue the cursor. Start again without it.")
