"""The bind guard: listed PCI devices get no driver before they have shown that they are trusted."""
