"""The commands for people and scripts: ``hitl …`` from the store alone, and ``python flow.py hitl …`` for one flow.

One implementation serves both. It needs neither Metaflow nor click, so that a command answers at once.
"""
