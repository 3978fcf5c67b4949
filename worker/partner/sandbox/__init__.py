"""A faithful stand-in for the partner, over real HTTP and SMTP, with an outbox in place of customers."""

from worker.partner.sandbox.app import SANDBOX, build_sandbox
from worker.partner.sandbox.serve import RunningSandbox, serve_sandbox
from worker.partner.sandbox.settings import Faults, SandboxSettings

__all__ = ["SANDBOX", "Faults", "RunningSandbox", "SandboxSettings", "build_sandbox", "serve_sandbox"]
