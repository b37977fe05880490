"""Checks that run by themselves: a service and a timer of systemd, or a line for cron."""
