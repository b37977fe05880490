"""Who is at the command line, for the journal."""

from __future__ import annotations

import os
import pwd


def actor() -> str:
    """Who is doing this: the login name, and behind sudo the one who called it."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid {os.getuid()}"
    caller = os.environ.get("SUDO_USER", "")
    return f"{caller} as {user}" if caller and caller != user else user
