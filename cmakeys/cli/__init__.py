"""The command: one module per noun; it parses, calls and renders. No rule of trust lives here."""
