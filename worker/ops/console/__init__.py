"""The web console: what operators see and do, as pages."""
