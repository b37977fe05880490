"""`cmakeys image`: the roots in what a machine boots from."""

from __future__ import annotations

from cmakeys.cli import image_bake, image_hooks, image_inspect
from cmakeys.cli.nouns import noun_app

app = noun_app("Bake roots into what a machine boots from, and look at what is in there.")
image_bake.register(app)
image_inspect.register(app)
image_hooks.register(app)
