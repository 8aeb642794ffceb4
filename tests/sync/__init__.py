"""Tests of what organizations exchange."""
