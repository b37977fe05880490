"""Who hears of a check: the forms of its answer, and the logs it is written to. The verb and its helpers share them."""

from __future__ import annotations

from enum import Enum


class Form(Enum):
    """For whom an answer is: a person, a program, a stream of them, one of three kinds of systems, or a browser."""

    TEXT = "text"
    JSON = "json"
    JSONL = "jsonl"
    NAGIOS = "nagios"
    PROMETHEUS = "prometheus"
    JUNIT = "junit"
    HTML = "html"


class Log(Enum):
    """Where a run is logged."""

    JOURNAL = "journal"
    SYSLOG = "syslog"
    NONE = "none"
