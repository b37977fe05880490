"""Revocation lists and OCSP responses on this machine: kept in files, and fetched when somebody says so."""
