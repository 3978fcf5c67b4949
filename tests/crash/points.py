"""The named points of a job's way at which a worker is killed. `dying_worker.py` knows how to reach each."""

POINTS = (
    "before_the_slot",
    "claimed",
    "call_begun",
    "request_sent",
    "answer_read",
    "settled",
    "before_the_end_of_a_mail",
    "after_the_end_of_a_mail",
)
