"""Judging the evidence of many hosts, on the cores of one machine or on a cluster."""
