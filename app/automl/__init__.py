"""Trains models on a table by H2O AutoML, and answers with them. Knows no web and no store.

H2O and Java are optional: nothing here imports them before they are used, see `java.missing`.
"""
