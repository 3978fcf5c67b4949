"""Why a request is not answered as it wished; `pages_errors` makes pages of it."""

from __future__ import annotations

from worker.domain.roles import Role


class GateError(Exception):
    """The gate did not let a request through."""


class NotSignedInError(GateError):
    """Nobody is signed in, or not any more."""


class RoleMissingError(GateError):
    """Who is signed in may not do this."""

    def __init__(self, role: Role) -> None:
        """Say which *role* may."""
        super().__init__(role.value)
        self.role = role


class ForeignOriginError(GateError):
    """Another site's page sent the request, or nothing says that ours did."""


class StaleTokenError(GateError):
    """The form was made for another session, or for none."""


class DownloadCutOffError(GateError):
    """Who asked for a file may not have the rest of it any more."""


class UndeclaredRouteError(GateError):
    """A handler does not say who may use it: our own mistake, and closed until it is mended."""


class BadFormError(GateError):
    """The body is no form that we take."""

    def __init__(self, status: int) -> None:
        """Answer with HTTP *status*."""
        super().__init__(str(status))
        self.status = status
