"""Pages for people, over read models that programs pass in. `server.create_app` is the way in (I/O)."""

from dashboards.kit.texts import LANGUAGES, TEXTS, text
from dashboards.people import Person, SignIn

__all__ = ["LANGUAGES", "TEXTS", "Person", "SignIn", "text"]
