"""The SPDM protocol without any I/O: codes, messages, algorithms, transcripts, requester and responder rules."""
