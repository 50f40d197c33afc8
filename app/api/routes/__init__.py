"""One module a noun; ``app.api.app`` puts them together."""
