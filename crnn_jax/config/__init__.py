"""Configs: their fields, their files, their variants."""
