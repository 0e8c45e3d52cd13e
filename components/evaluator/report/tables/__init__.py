"""Evaluations as tables for people: the figures of one tagger beside the papers', other methods' and its own variants'.

Pure: what text.py writes as text and Markdown and html.py as HTML. contents.py makes them all.
"""
