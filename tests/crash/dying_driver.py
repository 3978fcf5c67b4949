"""A worker that ends itself by SIGKILL once it has driven bulk acts for so many steps: `python dying_driver.py STEPS`.

The last step is done in the ledger, and nobody hears of it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from worker.ledger.acts import Acts
from worker.main import main

STEPS = int(sys.argv[1])


def wrap() -> None:
    """Die behind the last step."""
    step, taken = Acts.step, 0

    async def dying(self: Acts, act_id: str, **kwargs: Any) -> Any:
        nonlocal taken
        made = await step(self, act_id, **kwargs)
        taken += bool(made.taken)
        if taken >= STEPS:
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    Acts.step = dying  # type: ignore[method-assign]


if __name__ == "__main__":
    wrap()
    sys.argv[1:] = []
    main()
